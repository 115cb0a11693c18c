# shellcheck shell=bash
# A node's certificates, from Magnum's API: the key is made here and never leaves, the CA's key never
# comes here. A certificate is renewed when its key, names, signer or term don't fit any more, so
# that every step may run again. Sourced after common.sh.

KEY_BITS=${MAGNUM_KEY_BITS:-4096}
RENEW_BEFORE=2592000 # seconds of remaining term below which a certificate is made anew

magnum_token() {
    need AUTH_URL TRUSTEE_USER_ID TRUSTEE_PASSWORD
    keystone_token "$AUTH_URL" "$TRUSTEE_USER_ID" "$TRUSTEE_PASSWORD" "" "$MAGNUM_RUN/token"
}
magnum_call() { # path or query below /certificates, curl's arguments...
    local path=$1
    shift
    openstack_curl --header @"$MAGNUM_RUN/token" --header 'OpenStack-API-Version: container-infra latest' \
        --header 'Content-Type: application/json' "$@" "${MAGNUM_URL%/}/certificates$path"
}
# The pem of an answer must be one: anything else is a proxy's page or an error.
pem_of() { # what it is
    local pem
    pem=$(json_get pem)
    case $pem in
    -----BEGIN*) printf '%s\n' "$pem" ;;
    *) echo "Magnum's answer has no $1" >&2 && return 1 ;;
    esac
}
ask_ca() { # kind
    magnum_token && magnum_call "/$CLUSTER_UUID?ca_cert_type=$1"
}
# All certificates of that CA that are to be trusted, the signing one first.
fetch_ca() { # kind (kubelet, etcd, front-proxy), file
    local answer pem
    answer=$(retry ask_ca "$1")
    pem=$(pem_of "certificate of the CA '$1'" <<<"$answer")
    openssl x509 -noout <<<"$pem" || die "the certificate of the CA '$1' can't be read"
    put_file "$2" 0644 <<<"$pem"
}

request_text() { # subject (lines of an OpenSSL section), usages, names
    cat <<TEXT
[req]
distinguished_name = subject
req_extensions = extensions
prompt = no
string_mask = utf8only
[subject]
$1
[extensions]
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = $2
TEXT
    [ -z "$3" ] || printf 'subjectAltName = %s\n' "$3"
}
# Does the certificate fit its key, its signer's file, its names and its term?
certificate_fits() { # certificate, key, CA file, names
    local have
    [ -s "$1" ] && [ -s "$2" ] || return 1
    openssl x509 -in "$1" -noout -checkend "$RENEW_BEFORE" >/dev/null 2>&1 || return 1
    [ "$(openssl x509 -in "$1" -noout -pubkey 2>/dev/null)" = "$(openssl pkey -in "$2" -pubout 2>/dev/null)" ] ||
        return 1
    openssl verify -CAfile "$3" "$1" >/dev/null 2>&1 || return 1
    have=$(openssl x509 -in "$1" -noout -ext subjectAltName 2>/dev/null | tail -n +2 | tr -d ' ' | sed 's/IPAddress:/IP:/g')
    [ "$(tr ',' '\n' <<<"$have" | sort)" = "$(tr -d ' ' <<<"$4" | tr ',' '\n' | sort)" ]
}
ask_sign() { # kind, request
    magnum_token && printf '{"cluster_uuid":%s,"csr":%s,"ca_cert_type":%s}' "$(json_string "$CLUSTER_UUID")" \
        "$(json_string "$2")" "$(json_string "$1")" | magnum_call "" --data @-
}
# Makes BASE.key and BASE.crt unless they fit. Names as in OpenSSL: "DNS:a,IP:1.2.3.4". A name that
# must not be renewed by mere wish: RESIGN=yes makes the certificate anew in any case.
make_certificate() { # base path, kind, CA file, subject, usages, names
    local base=$1 request answer pem
    if [ "${RESIGN:-no}" = no ] && certificate_fits "$base.crt" "$base.key" "$3" "$6"; then
        return 0
    fi
    mkdir -p "$(dirname "$base")"
    if ! openssl pkey -in "$base.key" -noout 2>/dev/null; then
        (umask 077 && openssl genrsa -out "$base.key.new" "$KEY_BITS" 2>/dev/null && mv -f "$base.key.new" "$base.key")
    fi
    chmod 0600 "$base.key"
    request_text "$4" "$5" "$6" >"$MAGNUM_RUN/request.conf"
    request=$(openssl req -new -sha256 -key "$base.key" -config "$MAGNUM_RUN/request.conf")
    answer=$(retry ask_sign "$2" "$request")
    pem=$(pem_of "certificate for $base" <<<"$answer")
    put_file "$base.crt" 0644 <<<"$pem"
    certificate_fits "$base.crt" "$base.key" "$3" "$6" ||
        die "the certificate that Magnum signed for $base does not fit its key, names or CA"
}
forget_token() { rm -f "$MAGNUM_RUN/token" "$MAGNUM_RUN/request.conf"; }
