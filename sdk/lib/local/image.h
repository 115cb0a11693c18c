/* Container images for local nodes, which have no registry to pull from: an archive that containerd
 * and Docker load, made from one static program of this machine. Neighbours: spawn, files. */
#ifndef MAGNUM_SDK_LIB_LOCAL_IMAGE_H
#define MAGNUM_SDK_LIB_LOCAL_IMAGE_H

#include <magnum/host.h>

/* Makes `file` unless it is there: an image called `name` ("localhost/x:1") whose /bin holds
 * busybox (a static one) under its own name and as sh. Without a command it waits for ever and
 * takes over orphans: what a pod's sandbox has to do. Uses tar and sha256sum, found on `path`. */
int32_t mag_image_busybox(const char *file, const char *name, const char *busybox, const char *path,
                          mag_error *err);

#endif
