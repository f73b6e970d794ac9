/* The eleven criteria, in the order in which they run and are reported. */
#include "acceptance/acceptance.h"

const struct criterion criteria[] = {
    { "A1.5-1", "1.5", "volume mounted at $HOME/.local", check_mounted },
    { "A1.5-2", "1.5", "auth tokens persist in auth.json", check_auth },
    { "A1.5-3", "1.5", "session metadata persists", check_sessions },
    { "A1.5-4", "1.5", "message history persists", check_messages },
    { "A1.5-5", "1.5", "mount configuration correct", check_mount_config },
    { "A1.6-1", "1.6", "plugin discovered from the ai-dev path", check_discovered },
    { "A1.6-2", "1.6", "plugin linked and loaded", check_linked },
    { "A1.6-3", "1.6", "plugin on a volume, not in the image", check_on_volume },
    { "A1.6-4", "1.6", "npm dependencies installed by themselves", check_dependencies },
    { "A1.6-5", "1.6", "graceful degradation without the plugin", check_degradation },
    { "A1.6-6", "1.6", "built if dist/ is missing", check_build },
    { 0 },
};
