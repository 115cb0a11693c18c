/* See address.h. */
#include "http/address.h"

#include "base/parse.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

enum { ADDRESS_BYTES = 16 };

struct network {
    int family;
    unsigned char address[ADDRESS_BYTES];
    int bits;
};

static bool parse_network(const char *text, struct network *ret)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    int64_t bits;
    if (n >= sizeof host)
        return false;
    memcpy(host, text, n);
    host[n] = '\0';
    ret->family = strchr(host, ':') ? AF_INET6 : AF_INET;
    int all = ret->family == AF_INET6 ? 128 : 32;
    if (inet_pton(ret->family, host, ret->address) != 1)
        return false;
    if (!slash)
        bits = all;
    else if (!parse_i64(slash + 1, 0, all, &bits))
        return false;
    ret->bits = (int)bits;
    return true;
}

static bool within(const struct network *net, int family, const unsigned char *address)
{
    int whole = net->bits / 8, rest = net->bits % 8;
    if (net->family != family || memcmp(net->address, address, (size_t)whole) != 0)
        return false;
    unsigned char mask = (unsigned char)(0xff << (8 - rest));
    return rest == 0 || ((net->address[whole] ^ address[whole]) & mask) == 0;
}

/* This machine, its neighbours, private networks, and what is no host at all. The IPv6 forms that
 * carry an IPv4 address are refused whole: nobody publishes anything there. */
static const char *const refused_networks[] = {
    "0.0.0.0/8",     "10.0.0.0/8",   "100.64.0.0/10",  "127.0.0.0/8",   "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4",
    "240.0.0.0/4",   "::/96",        "::ffff:0:0/96",  "64:ff9b::/96",  "64:ff9b:1::/48",
    "2002::/16",     "fc00::/7",     "fe80::/10",      "fec0::/10",     "ff00::/8"};

static bool any_within(const char *const *list, size_t n, int family, const unsigned char *address)
{
    for (size_t i = 0; i < n; i++) {
        struct network net;
        if (parse_network(list[i], &net) && within(&net, family, address))
            return true;
    }
    return false;
}

bool http_address_allowed(const struct strv *networks, const struct sockaddr *to)
{
    unsigned char address[ADDRESS_BYTES] = {0};
    if (to->sa_family == AF_INET)
        memcpy(address, &((const struct sockaddr_in *)(const void *)to)->sin_addr, 4);
    else if (to->sa_family == AF_INET6)
        memcpy(address, &((const struct sockaddr_in6 *)(const void *)to)->sin6_addr, 16);
    else
        return false;
    if (any_within((const char *const *)networks->v, networks->n, to->sa_family, address))
        return true;
    return !any_within(refused_networks, ARRAY_LEN(refused_networks), to->sa_family, address);
}
