/* Whose certificates count: the file that the owner names; or what OpenSSL's own variables name, as
 * libwebsockets takes it too; or the system's. Of the system's the folder is taken alone where it
 * has one: curl would read the whole file beside it, 0.7 MB in memory for the one that is needed.
 */
#include "base/http/internal.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"

/* "5ed36f99.0": how OpenSSL finds a certificate by its name's hash. */
static bool is_hashed(const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");
    return digits == 8 && name[8] == '.' && isdigit((unsigned char)name[9]);
}

static bool is_hashed_folder(const char *path)
{
    DIR *dir = path ? opendir(path) : NULL;
    bool found = false;
    for (struct dirent *d; dir && !found && (d = readdir(dir));)
        found = is_hashed(d->d_name);
    if (dir)
        (void)closedir(dir);
    return found;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int http_trust_choose(struct http_client *c, const char *ca_file)
{
    const char *folder = ca_file ? NULL : variable("SSL_CERT_DIR");
    char *usual = NULL;
    if (!ca_file)
        ca_file = variable("SSL_CERT_FILE");
    if (ca_file && !(c->ca_file = strdup(ca_file)))
        return -1;
    if (folder && !(c->ca_folder = strdup(folder)))
        return -1;
    if (c->ca_file || c->ca_folder)
        return 0;
    CURL *e = curl_easy_init();
    c->ca_folder_only =
        e && curl_easy_getinfo(e, CURLINFO_CAPATH, &usual) == CURLE_OK && is_hashed_folder(usual);
    if (e)
        curl_easy_cleanup(e);
    return 0;
}

CURLcode http_trust_apply(const struct http_client *c, CURL *e)
{
    CURLcode code = CURLE_OK;
    if (c->ca_file || c->ca_folder || c->ca_folder_only)
        code = curl_easy_setopt(e, CURLOPT_CAINFO, c->ca_file);
    if (code == CURLE_OK && c->ca_folder)
        code = curl_easy_setopt(e, CURLOPT_CAPATH, c->ca_folder);
    return code;
}
