/* Writes YAML, quoted and escaped by libyaml. A document is one mapping. Texts are always quoted,
 * so that none is read back as a number, a boolean or null; bytes that are not UTF-8 become U+FFFD.
 */
#pragma once

#include "base/core/buf.h"

#include <stdint.h>

struct yamlw;

/* Begins a document that is appended to `out`. 0 or -ENOMEM. */
int yamlw_new(struct yamlw **ret, struct buf *out);
/* Ends the document and frees. 0, or -errno of the first thing that failed. */
int yamlw_finish(struct yamlw *w);

/* `key` NULL inside a list. */
void yamlw_map(struct yamlw *w, const char *key);
void yamlw_map_end(struct yamlw *w);
void yamlw_list(struct yamlw *w, const char *key);
void yamlw_list_end(struct yamlw *w);
void yamlw_text(struct yamlw *w, const char *key, const char *text);
/* Unquoted: for words of ours, numbers and times. */
void yamlw_word(struct yamlw *w, const char *key, const char *word);
void yamlw_int(struct yamlw *w, const char *key, int64_t n);
