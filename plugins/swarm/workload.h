/* Containers of the first Magnum on a Swarm: "mag.coe.workload/1" for the kind "container".
 * workload.c: the verbs; workload_text.c: what is only text: command lines, the frames in which
 * Docker sends output. Neighbours: swarm.c (table of verbs), lib/docker. */
#ifndef SWARM_WORKLOAD_H
#define SWARM_WORKLOAD_H

#include "lib/driver.h"

#include <stdbool.h>
#include <stddef.h>

int32_t workload_list(struct mag_call *c, const struct mag_object *o, json_t **ret);
int32_t workload_get(struct mag_call *c, const struct mag_object *o, json_t **ret);
int32_t workload_create(struct mag_call *c, const struct mag_object *o, json_t **ret);
int32_t workload_remove(struct mag_call *c, const struct mag_object *o, json_t **ret);
int32_t workload_act(struct mag_call *c, const struct mag_object *o, json_t **ret);

/* A command line as a shell would cut it into words: blanks part, quotes and backslashes keep
 * together. NULL: no memory, no words, an open quote, or not UTF-8. */
json_t *workload_words(const char *line);
/* Both streams of a multiplexed answer in the order they were sent, as text: what is not UTF-8, and
 * NUL, becomes U+FFFD. What does not begin like a frame is taken as it is (a terminal's output has
 * no frames), and so is what a cut stream leaves of a frame. Caller frees; NULL = no memory. */
char *workload_output(const void *data, size_t len);
/* "repo/name:tag" for /images/create: where the tag begins, or the text's end; a digest is none. */
const char *workload_tag(const char *image);

#endif
