// The main database file, as a connection sees it: read from disk, never written; the WAL-index and its locks; and what
// is refused here because a replicated database cannot bear it. The refusals hold whatever an authorizer above lets
// through.

#include <string.h>
#include <unistd.h>

#include "internal.h"

#define VERSION_OFFSET 24

static int main_close(sqlite3_file *base) {
    rp_main_file *file = (rp_main_file *)base;
    rp_view *view = file->view;
    rp_database *database = view->database;
    rp_wal_index_unlock(&view->index, &file->locks, 0, SQLITE_SHM_NLOCK);
    pthread_mutex_lock(&view->index.mutex);
    for (rp_main_file **link = &view->connections; *link != NULL; link = &(*link)->next) {
        if (*link != file) continue;
        *link = file->next;
        break;
    }
    pthread_mutex_unlock(&view->index.mutex);
    pthread_mutex_destroy(&file->reading);
    rp_view_release(view);
    atomic_fetch_sub(&database->connections, 1); // the last use of the database: see rp_close
    return SQLITE_OK;
}

int rp_main_file_read(rp_main_file *file, void *bytes, int count, int64_t offset) {
    int rc = rp_file_read(&file->view->database->file, bytes, count, offset, file->waits);
    if (rc == RP_WOULD_WAIT) file->wait_hit = true;
    return rc;
}

void rp_main_file_note_version(rp_main_file *file, const uint8_t *page) {
    memcpy(file->version, page + VERSION_OFFSET, sizeof file->version);
}

// Whether its cache is still right SQLite asks twice before each transaction: the file for its version
// (sqlite3PagerSharedLock), as a rollback journal would need it, and the WAL-index, which alone decides here. So the first
// answer is always yes, and no system call.
//
// On an overlay, doom is looked at after the read: foreign entries may be copied into the file only after it is set, so
// a page read before is one of ours.
static int main_read(sqlite3_file *base, void *bytes, int count, sqlite3_int64 offset) {
    rp_main_file *file = (rp_main_file *)base;
    int rc = SQLITE_OK;
    if (offset == VERSION_OFFSET && count == (int)sizeof file->version) {
        memcpy(bytes, file->version, sizeof file->version);
    } else {
        rc = rp_main_file_read(file, bytes, count, offset);
        if (rc == SQLITE_OK && offset == 0 && count == RP_PAGE_SIZE) rp_main_file_note_version(file, bytes);
    }
    return rp_view_is_void(file->view) ? RP_NOT_LEADER : rc;
}

static int main_write(sqlite3_file *base, const void *bytes, int count, sqlite3_int64 offset) {
    (void)base, (void)bytes, (void)count, (void)offset;
    return SQLITE_IOERR_WRITE;
}

static int main_truncate(sqlite3_file *base, sqlite3_int64 size) {
    (void)base, (void)size;
    return SQLITE_IOERR_TRUNCATE;
}

static int main_file_size(sqlite3_file *base, sqlite3_int64 *out) {
    int64_t size;
    int rc = rp_file_size(&((rp_main_file *)base)->view->database->file, &size);
    if (rc == SQLITE_OK) *out = size;
    return rc;
}

// Every connection reads, none gets further: a change of the journal mode, and the checkpoint with deletion of the WAL
// that the last connection to close attempts (sqlite3WalClose), both begin with EXCLUSIVE.
int rp_any_lock(sqlite3_file *file, int level) {
    (void)file;
    return level <= SQLITE_LOCK_SHARED ? SQLITE_OK : SQLITE_BUSY;
}

int rp_any_unlock(sqlite3_file *file, int level) {
    (void)file, (void)level;
    return SQLITE_OK;
}

int rp_any_check_reserved_lock(sqlite3_file *file, int *out) {
    (void)file;
    *out = 0;
    return SQLITE_OK;
}

// Durability is the log's.
int rp_any_sync(sqlite3_file *file, int flags) {
    (void)file, (void)flags;
    return SQLITE_OK;
}

int rp_any_sector_size(sqlite3_file *file) {
    (void)file;
    return RP_PAGE_SIZE;
}

// POWERSAFE_OVERWRITE: without it sqlite3WalFrames fills the last sector of a synced commit with copies of its last
// frame.
int rp_any_device_characteristics(sqlite3_file *file) {
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE | SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_SEQUENTIAL
        | SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN;
}

// Settings that would take the WAL, the file or the process's memory out of our hands.
static bool is_refused_pragma(const char *name, const char *value) {
    static const char *const setters[] = {
        "journal_mode", "locking_mode", "page_size", "synchronous", "mmap_size", "wal_autocheckpoint",
        "journal_size_limit", "max_page_count", "hard_heap_limit", "soft_heap_limit", "temp_store_directory",
        "data_store_directory",
    };
    if (sqlite3_stricmp(name, "wal_checkpoint") == 0) return true; // without a value too
    if (value == NULL) return false;
    for (size_t i = 0; i < sizeof setters / sizeof setters[0]; i++) {
        if (sqlite3_stricmp(name, setters[i]) == 0) return true;
    }
    return false;
}

static int main_file_control(sqlite3_file *base, int operation, void *argument) {
    rp_main_file *file = (rp_main_file *)base;
    if (operation == SQLITE_FCNTL_VFSNAME) {
        *(char **)argument = sqlite3_mprintf("replica/%s", file->view->kind == RP_OVERLAY ? "overlay" : "committed");
        return SQLITE_OK;
    }
    if (operation == SQLITE_FCNTL_PRAGMA && !file->is_open_to_setup) {
        char **words = argument; // [0] the answer, [1] the name, [2] the value or NULL
        if (!is_refused_pragma(words[1], words[2])) return SQLITE_NOTFOUND;
        words[0] = sqlite3_mprintf("PRAGMA %s is not allowed on a replicated database", words[1]);
        return SQLITE_ERROR;
    }
    return SQLITE_NOTFOUND;
}

// MARK: The WAL-index

static int main_shm_map(sqlite3_file *base, int number, int size, int extend, void volatile **out) {
    rp_main_file *file = (rp_main_file *)base;
    *out = NULL;
    if (size != WALINDEX_PGSZ || number >= MAXIMUM_REGIONS) return SQLITE_IOERR_SHMMAP;
    *out = rp_wal_index_region(&file->view->index, number, extend != 0);
    return *out == NULL && extend ? SQLITE_IOERR_NOMEM : SQLITE_OK;
}

// A request that is never granted, or SQLITE_OK. RECOVER in shared mode is: a reader that found two different copies of
// the header asks for it before it tries again.
static int refusal(rp_main_file *file, int first, int count) {
    rp_view *view = file->view;
    if (first <= WAL_RECOVER_LOCK && first + count > WAL_CKPT_LOCK) {
        atomic_fetch_add(&view->database->refused_recoveries, 1);
        return SQLITE_BUSY;
    }
    if (first == WAL_WRITE_LOCK && view->kind == RP_COMMITTED) {
        // A writer has a snapshot (sqlite3WalBeginWriteTransaction asserts it). Who has none is a reader that met a
        // header while it was being changed; told that a writer is busy, it tries again.
        return file->locks.shared & WAL_READ_LOCKS ? SQLITE_READONLY : SQLITE_BUSY;
    }
    return SQLITE_OK;
}

static int main_shm_lock(sqlite3_file *base, int first, int count, int flags) {
    rp_main_file *file = (rp_main_file *)base;
    rp_view *view = file->view;
    bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;
    if (flags & SQLITE_SHM_LOCK) {
        if (rp_view_is_void(view)) return RP_NOT_LEADER;
        int rc = exclusive ? refusal(file, first, count) : SQLITE_OK;
        return rc != SQLITE_OK ? rc : rp_wal_index_lock(&view->index, &file->locks, first, count, exclusive);
    }
    // The end of a write transaction, and the only exact one: the header is published, nothing can fail any more, and
    // what was rolled back is not below its mxFrame.
    if (exclusive && first == WAL_WRITE_LOCK && (file->locks.exclusive & 1 << WAL_WRITE_LOCK)) {
        if (RP_CAPTURE_DELAY) usleep(RP_CAPTURE_DELAY);
        rp_capture(file);
    }
    rp_wal_index_unlock(&view->index, &file->locks, first, count);
    return SQLITE_OK;
}

static void main_shm_barrier(sqlite3_file *base) {
    (void)base;
    atomic_thread_fence(memory_order_seq_cst);
}

// The WAL-index is the view's: it outlives its connections.
static int main_shm_unmap(sqlite3_file *base, int delete) {
    rp_main_file *file = (rp_main_file *)base;
    (void)delete;
    rp_wal_index_unlock(&file->view->index, &file->locks, 0, SQLITE_SHM_NLOCK);
    return SQLITE_OK;
}

// Version 2: there is no xFetch, so that PRAGMA mmap_size has nothing to set.
static const sqlite3_io_methods main_methods = {
    .iVersion = 2,
    .xClose = main_close,
    .xRead = main_read,
    .xWrite = main_write,
    .xTruncate = main_truncate,
    .xSync = rp_any_sync,
    .xFileSize = main_file_size,
    .xLock = rp_any_lock,
    .xUnlock = rp_any_unlock,
    .xCheckReservedLock = rp_any_check_reserved_lock,
    .xFileControl = main_file_control,
    .xSectorSize = rp_any_sector_size,
    .xDeviceCharacteristics = rp_any_device_characteristics,
    .xShmMap = main_shm_map,
    .xShmLock = main_shm_lock,
    .xShmBarrier = main_shm_barrier,
    .xShmUnmap = main_shm_unmap,
};

void rp_main_file_init(rp_main_file *file, rp_view *view) {
    memset(file, 0, sizeof *file);
    file->base.pMethods = &main_methods;
    file->view = view;
    file->is_open_to_setup = true;
    file->waits = true;
    pthread_mutex_init(&file->reading, NULL);
    atomic_fetch_add(&view->references, 1);
    atomic_fetch_add(&view->database->connections, 1);
    pthread_mutex_lock(&view->index.mutex);
    file->next = view->connections;
    view->connections = file;
    pthread_mutex_unlock(&view->index.mutex);
}

rp_main_file *rp_main_file_of(struct sqlite3 *connection) {
    sqlite3_file *file = NULL;
    int rc = sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc != SQLITE_OK || file == NULL || file->pMethods != &main_methods) return NULL;
    return (rp_main_file *)file;
}
