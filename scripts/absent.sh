#!/bin/sh
# absent.sh LIBCURL.a - a C file with a stand-in for each function of libraries that libcurl can use
# and we don't: Kerberos, LDAP, RTMP, SSH, cookies' public suffixes, IDN, HTTP/2, brotli, zstd.
set -eu
echo '#include "base/http/absent/absent.h"'
nm -u "$1" 2>/dev/null | awk '$1 == "U" { print $2 }' | LC_ALL=C sort -u |
	grep -E '^(gss_|GSS_|ldap_|ber_|RTMP_|libssh2_|psl_|idn2_|nghttp2_|Brotli|ZSTD_)' |
	while read -r name; do
		case $name in
		libssh2_init | libssh2_exit | idn2_* | BrotliDecoderCreateInstance | ZSTD_createDStream)
			echo "NOTHING($name)"
			;;
		*) echo "ABSENT($name)" ;;
		esac
	done
