// The database file on disk: how it begins, who is kept away from it, and the calls that change it. What is Linux's
// alone is in this file.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "internal.h"

#ifdef F_OFD_SETLK
#define SET_LOCK F_OFD_SETLK
#else
#define SET_LOCK F_SETLK
#endif

// The bytes on which SQLite's own VFS takes its locks: the pending byte, the reserved byte, and 510 shared ones.
#define PENDING_BYTE 0x40000000
#define LOCK_BYTES 512

// What an empty database begins with; zeros follow. See https://sqlite.org/fileformat2.html#the_database_header.
// It is in WAL mode from the start, so that no journal mode ever changes, and the same on every replica, whatever the
// version of SQLite: a file is the same bytes as another that the same entries were applied to.
const uint8_t rp_template_prefix[112] = {
    'S', 'Q', 'L', 'i', 't', 'e', ' ', 'f', 'o', 'r', 'm', 'a', 't', ' ', '3', 0,
    [16] = RP_PAGE_SIZE >> 8, [17] = RP_PAGE_SIZE & 0xff,
    [18] = 2, [19] = 2,               // written and read with a WAL
    [21] = 64, [22] = 32, [23] = 32,  // payload fractions, which are fixed
    [27] = 1,                         // change counter
    [31] = 1,                         // pages
    [47] = 4,                         // schema format
    [59] = 1,                         // UTF-8
    [95] = 1,                         // the change counter for which the number of pages is valid
    [96] = 0, 0x2d, 0xe2, 0x18,       // 3007000, the first version with a WAL
    [100] = 13,                       // an empty leaf of a table: the schema
    [105] = RP_PAGE_SIZE >> 8, [106] = RP_PAGE_SIZE & 0xff,
};

static ssize_t system_pwrite(void *context, int fd, const void *bytes, size_t count, off_t offset) {
    (void)context;
    return pwrite(fd, bytes, count, offset);
}

static int system_ftruncate(void *context, int fd, off_t size) {
    (void)context;
    return ftruncate(fd, size);
}

static int system_fdatasync(void *context, int fd) {
    (void)context;
#ifdef __APPLE__
    return fcntl(fd, F_FULLFSYNC);
#else
    return fdatasync(fd);
#endif
}

static int system_fsync(void *context, int fd) {
    (void)context;
    return fsync(fd);
}

static int error_of(int otherwise) {
    return errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : otherwise;
}

static int write_all(rp_file *file, int fd, const uint8_t *bytes, size_t count, off_t offset) {
    while (count > 0) {
        ssize_t done = file->calls.pwrite(file->calls.context, fd, bytes, count, offset);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return error_of(SQLITE_IOERR_WRITE);
        if (done == 0) return SQLITE_FULL;
        bytes += done;
        count -= (size_t)done;
        offset += done;
    }
    return SQLITE_OK;
}

// An entry of a directory is durable when the directory is synced.
static int sync_directory(rp_file *file) {
    char *directory = strdup(file->path);
    if (directory == NULL) return SQLITE_NOMEM;
    char *slash = strrchr(directory, '/');
    if (slash != NULL) slash[slash == directory ? 1 : 0] = 0;
    int fd = open(slash == NULL ? "." : directory, O_RDONLY | O_CLOEXEC);
    free(directory);
    if (fd < 0) return SQLITE_CANTOPEN;
    int rc = file->calls.fsync(file->calls.context, fd) == 0 ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
    close(fd);
    return rc;
}

// Opens the file, keeps others away, and makes it a database if it is not yet.
static int open_file(rp_file *file, int flags) {
    int fd = open(file->path, flags | O_RDWR | O_CLOEXEC, 0644);
    if (fd < 0) return errno == ENOENT ? SQLITE_NOTFOUND : error_of(SQLITE_CANTOPEN);
    // Of the open file description: a process's POSIX locks would go as soon as anybody in it closes the same file.
    struct flock guard = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = PENDING_BYTE, .l_len = LOCK_BYTES};
    struct stat status;
    int rc = SQLITE_OK;
    if (fcntl(fd, SET_LOCK, &guard) != 0) {
        rc = SQLITE_BUSY;
    } else if (fstat(fd, &status) != 0) {
        rc = SQLITE_IOERR_FSTAT;
    } else if (status.st_size < RP_PAGE_SIZE) {
        // Just made, or a crash came in between: a database has one page at least, and is never truncated below that.
        uint8_t page[RP_PAGE_SIZE] = {0};
        memcpy(page, rp_template_prefix, sizeof rp_template_prefix);
        rc = write_all(file, fd, page, sizeof page, 0);
        if (rc == SQLITE_OK && file->calls.fdatasync(file->calls.context, fd) != 0) rc = SQLITE_IOERR_FSYNC;
    }
    if (rc != SQLITE_OK) {
        close(fd);
        return rc;
    }
    atomic_store_explicit(&file->fd, fd, memory_order_release);
    return SQLITE_OK;
}

int rp_file_open(rp_file *file, const char *path, const rp_file_calls *calls) {
    atomic_init(&file->fd, -1);
    const rp_file_calls system = {NULL, system_pwrite, system_ftruncate, system_fdatasync, system_fsync};
    file->calls = calls != NULL ? *calls : system;
    file->is_named = false;
    file->path = strdup(path);
    if (file->path == NULL) return SQLITE_NOMEM;
    int rc = open_file(file, 0);
    return rc == SQLITE_NOTFOUND ? SQLITE_OK : rc;
}

void rp_file_close(rp_file *file) {
    int fd = atomic_load(&file->fd);
    if (fd >= 0) close(fd);
    free(file->path);
}

int rp_file_create(rp_file *file) {
    int rc = SQLITE_OK;
    if (atomic_load_explicit(&file->fd, memory_order_acquire) < 0) {
        rc = open_file(file, O_CREAT);
        if (rc == SQLITE_NOTFOUND) rc = SQLITE_CANTOPEN; // the directory is not there
    }
    // Also of a file that was there: whoever made it may have been killed before its name was durable.
    if (rc == SQLITE_OK && !file->is_named) {
        rc = sync_directory(file);
        file->is_named = rc == SQLITE_OK;
    }
    return rc;
}

static ssize_t read_some(int fd, void *bytes, size_t count, off_t offset, bool waits) {
#ifdef RWF_NOWAIT
    if (!waits) {
        struct iovec vector = {.iov_base = bytes, .iov_len = count};
        ssize_t got = preadv2(fd, &vector, 1, offset, RWF_NOWAIT);
        if (got >= 0 || errno != EOPNOTSUPP) return got; // not every file system can tell
    }
#else
    (void)waits;
#endif
    return pread(fd, bytes, count, offset);
}

int rp_file_read(rp_file *file, void *bytes, int count, int64_t offset, bool waits) {
    uint8_t *to = bytes;
    size_t left = (size_t)count;
    int fd = atomic_load_explicit(&file->fd, memory_order_acquire);
    if (fd < 0) { // does not exist: the template, zeros after what it begins with
        memset(to, 0, left);
        int64_t prefix = sizeof rp_template_prefix;
        if (offset < prefix) {
            size_t given = (size_t)(prefix - offset) < left ? (size_t)(prefix - offset) : left;
            memcpy(to, rp_template_prefix + offset, given);
        }
        return offset + count <= RP_PAGE_SIZE ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
    }
    while (left > 0) {
        ssize_t got = read_some(fd, to, left, (off_t)offset, waits);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno == EAGAIN ? RP_WOULD_WAIT : SQLITE_IOERR_READ;
        if (got == 0) {
            memset(to, 0, left); // SQLite relies on zeros here
            return SQLITE_IOERR_SHORT_READ;
        }
        to += got;
        left -= (size_t)got;
        offset += got;
    }
    return SQLITE_OK;
}

int rp_file_size(rp_file *file, int64_t *size) {
    int fd = atomic_load_explicit(&file->fd, memory_order_acquire);
    *size = RP_PAGE_SIZE;
    if (fd < 0) return SQLITE_OK;
    struct stat status;
    if (fstat(fd, &status) != 0) return SQLITE_IOERR_FSTAT;
    *size = status.st_size;
    return SQLITE_OK;
}

int rp_file_write_page(rp_file *file, uint32_t pgno, const void *bytes) {
    return write_all(file, atomic_load(&file->fd), bytes, RP_PAGE_SIZE, (off_t)(pgno - 1) * RP_PAGE_SIZE);
}

int rp_file_truncate(rp_file *file, uint32_t nPage) {
    int rc = file->calls.ftruncate(file->calls.context, atomic_load(&file->fd), (off_t)nPage * RP_PAGE_SIZE);
    return rc == 0 ? SQLITE_OK : error_of(SQLITE_IOERR_TRUNCATE);
}

int rp_file_sync(rp_file *file) {
    return file->calls.fdatasync(file->calls.context, atomic_load(&file->fd)) == 0 ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

int rp_memory_file(void) {
#ifdef MFD_CLOEXEC
    return memfd_create("dqlite", MFD_CLOEXEC);
#else
    return -1;
#endif
}
