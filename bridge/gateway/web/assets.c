/* The assembler takes the files in as they are, so that neither building nor serving needs more
 * than the compiler. Paths are relative to the top of the repository. */
#include "bridge/gateway/web/assets.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#define EMBED(name, path)                                                                          \
    extern const char asset_##name[], asset_##name##_end[];                                        \
    __asm__(".pushsection .rodata\n"                                                               \
            ".hidden asset_" #name "\n.hidden asset_" #name "_end\n"                               \
            ".globl asset_" #name "\n.globl asset_" #name "_end\n"                                 \
            "asset_" #name ":\n.incbin \"" path "\"\n"                                             \
            "asset_" #name "_end:\n.byte 0\n"                                                      \
            ".popsection\n")

EMBED(page, "bridge/gateway/web/assets/index.html");
EMBED(style, "bridge/gateway/web/assets/app.css");
EMBED(script, "bridge/gateway/web/assets/app.js");
EMBED(api, "bridge/gateway/web/assets/api.js");
EMBED(cards, "bridge/gateway/web/assets/cards.js");
EMBED(focus, "bridge/gateway/web/assets/focus.js");
EMBED(logs, "bridge/gateway/web/assets/logs.js");
EMBED(pod, "bridge/gateway/web/assets/pod.js");
EMBED(session, "bridge/gateway/web/assets/session.js");
EMBED(text, "bridge/gateway/web/assets/text.js");
EMBED(icon, "bridge/gateway/web/assets/icon.svg");
EMBED(openapi, "bridge/openapi.yaml");

static const struct asset assets[ROUTE_MAX] = {
    [ROUTE_PAGE] = { "text/html; charset=utf-8", asset_page, asset_page_end },
    [ROUTE_LOGIN_PAGE] = { "text/html; charset=utf-8", asset_page, asset_page_end },
    [ROUTE_STYLE] = { "text/css; charset=utf-8", asset_style, asset_style_end },
    [ROUTE_SCRIPT] = { "text/javascript; charset=utf-8", asset_script, asset_script_end },
    [ROUTE_SCRIPT_API] = { "text/javascript; charset=utf-8", asset_api, asset_api_end },
    [ROUTE_SCRIPT_CARDS] = { "text/javascript; charset=utf-8", asset_cards, asset_cards_end },
    [ROUTE_SCRIPT_FOCUS] = { "text/javascript; charset=utf-8", asset_focus, asset_focus_end },
    [ROUTE_SCRIPT_LOGS] = { "text/javascript; charset=utf-8", asset_logs, asset_logs_end },
    [ROUTE_SCRIPT_POD] = { "text/javascript; charset=utf-8", asset_pod, asset_pod_end },
    [ROUTE_SCRIPT_SESSION] = { "text/javascript; charset=utf-8", asset_session, asset_session_end },
    [ROUTE_SCRIPT_TEXT] = { "text/javascript; charset=utf-8", asset_text, asset_text_end },
    [ROUTE_ICON] = { "image/svg+xml", asset_icon, asset_icon_end },
    [ROUTE_OPENAPI] = { "application/yaml", asset_openapi, asset_openapi_end },
};

const struct asset *asset_of(enum route_id route)
{
    return assets[route].data ? &assets[route] : NULL;
}

size_t asset_len(const struct asset *a)
{
    return (size_t)(a->end - a->data);
}

void asset_tag(const struct asset *a, char *out, size_t size)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (const char *p = a->data; p < a->end; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    (void)snprintf(out, size, "\"%016" PRIx64 "-%zx\"", h, asset_len(a));
}
