/* See manage_run.h. */
#include "component/manage_run.h"

#include "support/cunit_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

char manage_output[8192];

int manage_run(const char *info, const char *args)
{
    char command[1024];
    const char *build = getenv("MAGNUM_BUILD_DIR");
    snprintf(command, sizeof command, "%s/bin/magnum-db-manage %s%s%s %s 2>&1", build ? build : ".",
             info ? "--connection '" : "", info ? info : "", info ? "'" : "", args);
    FILE *f = popen(command, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    size_t n = fread(manage_output, 1, sizeof manage_output - 1, f);
    manage_output[n] = '\0';
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void manage_expect(const char *info, const char *args, int status, const char *text)
{
    int got = manage_run(info, args);
    if (got != status || !strstr(manage_output, text))
        fprintf(stderr, "%s: %d: %s", args, got, manage_output);
    CU_ASSERT_EQUAL(got, status);
    CU_ASSERT_PTR_NOT_NULL(strstr(manage_output, text));
    if (status == 1 && strncmp(manage_output, "migration ", 10) != 0) { /* one line says why */
        char *end = strchr(manage_output, '\n');
        CU_ASSERT_TRUE(end && end[1] == '\0');
    }
}
