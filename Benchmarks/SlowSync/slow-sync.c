// Preloaded into a program, makes each fsync and fdatasync take longer, as on a slower disk: by SLOW_SYNC_MICROSECONDS.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

typedef int sync_function(int);

static int slowly(const char *name, int fd) {
    sync_function *sync = (sync_function *)dlsym(RTLD_NEXT, name);
    if (sync == NULL) return errno = ENOSYS, -1;
    int result = sync(fd), code = errno;
    const char *text = getenv("SLOW_SYNC_MICROSECONDS");
    long microseconds = text == NULL ? 0 : strtol(text, NULL, 10);
    if (microseconds > 0) {
        struct timespec rest = {microseconds / 1000000, microseconds % 1000000 * 1000};
        while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {}
    }
    errno = code;
    return result;
}

int fsync(int fd) { return slowly("fsync", fd); }
int fdatasync(int fd) { return slowly("fdatasync", fd); }
