#include "bridge/prepare/guard.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/jsonw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bun asks onLoad for each module file; what is compiled into OpenCode lies below /$bunfs. */
static const char text[] =
    "import fs from \"node:fs\";\n"
    "const plain = (s) => s.replace(/[.*+?^${}()|[\\]\\\\]/g, \"\\\\$&\");\n"
    "const roots = [...new Set([folder, fs.realpathSync(folder)])].map((f) => plain(f + \"/\"));\n"
    "const filter = new RegExp(\"^(?!\" + [\"/\\\\$bunfs/\", ...roots].join(\"|\") + \")/\");\n"
    "globalThis.Bun.plugin({\n"
    "  name: \"codev-guard\",\n"
    "  setup(build) {\n"
    "    build.onLoad({ filter }, ({ path }) => {\n"
    "      console.error(\"not loaded into OpenCode, because the agent can write it: \" + path);\n"
    "      return { contents: \"export default {};\", loader: \"js\" };\n"
    "    });\n"
    "  },\n"
    "});\n"
    "export default async () => ({});\n";

int guard_write(const char *folder, char **ret_path, struct error *e)
{
    _cleanup_free_ char *path = path_join(folder, "guard.js"), *old = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    buf_puts(&out, "const folder = ");
    jsonw_str(&w, NULL, folder);
    buf_printf(&out, ";\n%s", text);
    if (!path || out.failed)
        return error_set_errno(e, -ENOMEM, "guard.js");
    int r = file_read(path, out.len + 1, &old, NULL);
    if (r < 0 || strcmp(old, buf_str(&out)) != 0)
        r = file_write_atomic(path, buf_str(&out), out.len, 0600);
    if (r < 0)
        return error_set_errno(e, r, "cannot write %s", path);
    *ret_path = TAKE_PTR(path);
    return 0;
}
