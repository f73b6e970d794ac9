#include "base/trace/derive.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

static void put_hex(char *out, const unsigned char *raw, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

void trace_derive(const char *id, struct trace_ids *ret)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    (void)SHA256((const unsigned char *)id, strlen(id), hash);
    put_hex(ret->trace_id, hash, (TRACE_ID_SIZE - 1) / 2);
    put_hex(ret->span_id, hash + (TRACE_ID_SIZE - 1) / 2, (SPAN_ID_SIZE - 1) / 2);
}
