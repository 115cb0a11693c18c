/* What magnum-status looks at: each check gives a result and, unless all is well, a line about it.
 * Neighbours: magnum-status.c prints them. */
#ifndef MAGNUM_CMD_STATUS_CHECKS_H
#define MAGNUM_CMD_STATUS_CHECKS_H

#include "base/err.h"

struct config;
struct mservice_list;

/* Also the exit status of the worst one, as in Magnum's tool of this name. */
enum check_result { CHECK_SUCCESS = 0, CHECK_WARNING = 1, CHECK_FAILURE = 2 };
struct check {
    const char *name;
    /* details->msg: what was found, "" when there is nothing to say */
    enum check_result (*run)(const struct config *cfg, struct err *details);
};
extern const struct check upgrade_checks[];
extern const int upgrade_checks_len;

/* Asks the API of this host how it is. */
enum check_result check_api(const struct config *cfg, const char *url, struct err *details);
/* The services' rows; how many of them are silent. */
int check_services(const struct config *cfg, struct mservice_list *ret, int *ret_down,
                   struct err *e) MUST_CHECK;

#endif
