/* The option table as documentation. */
#pragma once

#include "base/core/buf.h"

void config_docs_markdown(struct buf *out); /* the part of docs/config.md between its markers */
void config_docs_mdoc(struct buf *out);     /* the same part of codev.yaml(5) */
