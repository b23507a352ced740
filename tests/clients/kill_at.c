/* A library to preload (ld.so(8)): its process is ended by SIGKILL right before or right after one call.
 *
 *     KILL_AT="after rename rotation/base.json 2"    the second of those whose path ends so; of rename it is the new path
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    char when[8], call[8], end[200];
    int left;
} at;

__attribute__((constructor)) static void read_it(void)
{
    const char *text = getenv("KILL_AT");

    if (text && sscanf(text, "%7s %7s %199s %d", at.when, at.call, at.end, &at.left) != 4)
        abort();
}

static int is_it(const char *call, const char *path)
{
    size_t length = strlen(path), end = strlen(at.end);

    return at.left > 0 && !strcmp(call, at.call) && length >= end && !strcmp(path + length - end, at.end) && --at.left == 0;
}

static void end_here(int is_it, const char *when)
{
    while (is_it && !strcmp(when, at.when))
        kill(getpid(), SIGKILL);
}

int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    int it = is_it("rename", to);

    end_here(it, "before");
    int status = real(from, to);
    end_here(it, "after");
    return status;
}

int unlink(const char *path)
{
    int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
    int it = is_it("unlink", path);

    end_here(it, "before");
    int status = real(path);
    end_here(it, "after");
    return status;
}
