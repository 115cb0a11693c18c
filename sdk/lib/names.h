/* Names derived from ids. A remote resource's name is a pure function of the cluster, so that a
 * step that runs twice finds what the first run made. Neighbours: plugins. */
#ifndef MAGNUM_SDK_LIB_NAMES_H
#define MAGNUM_SDK_LIB_NAMES_H

#include <magnum/error.h>

#include <stdbool.h>

#define MAG_NAME_MAX 96

/* "mag-<cluster_id>-<suffix>"; suffix NULL or "": without it. */
void mag_name(char ret[MAG_NAME_MAX], const char *cluster_id, const char *suffix);
/* A host name (RFC 1123 label, at most 63 characters): "<cluster>-<group>-<index>", lower case,
 * other characters as '-', the cluster's part cut when it is too long. */
void mag_hostname(char ret[64], const char *cluster, const char *group, unsigned index);
/* A UUID in its 36 character form, lower case hex. */
bool mag_is_uuid(const char *s);

#endif
