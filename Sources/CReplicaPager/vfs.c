// The two VFS of a database, one for each view, and how a connection is opened on them. They know one database file and
// its WAL; temporary files go to the system's VFS; nothing else can be opened. Each is registered under a name of its
// own.

#include <stdio.h>
#include <string.h>

#include "internal.h"

// Whether `name` is that of our file with `suffix`.
static bool is_ours(rp_vfs *vfs, const char *name, const char *suffix) {
    const char *path = vfs->database->file.path;
    size_t length = strlen(path);
    return name != NULL && strncmp(name, path, length) == 0 && strcmp(name + length, suffix) == 0;
}

static int open_main(rp_vfs *vfs, rp_main_file *file) {
    rp_database *database = vfs->database;
    if (vfs->kind == RP_COMMITTED) {
        rp_main_file_init(file, database->committed);
        return SQLITE_OK;
    }
    pthread_mutex_lock(&database->overlay_mutex);
    rp_view *overlay = database->overlay;
    if (overlay != NULL) rp_main_file_init(file, overlay);
    pthread_mutex_unlock(&database->overlay_mutex);
    return overlay != NULL ? SQLITE_OK : RP_NOT_LEADER;
}

static int vfs_open(sqlite3_vfs *base, const char *name, sqlite3_file *file, int flags, int *out_flags) {
    rp_vfs *vfs = (rp_vfs *)base;
    file->pMethods = NULL;
    const int temporary =
        SQLITE_OPEN_TEMP_DB | SQLITE_OPEN_TEMP_JOURNAL | SQLITE_OPEN_TRANSIENT_DB | SQLITE_OPEN_SUBJOURNAL;
    if (flags & temporary) return vfs->real->xOpen(vfs->real, name, file, flags, out_flags);
    if (out_flags != NULL) *out_flags = flags;
    if ((flags & SQLITE_OPEN_MAIN_DB) && is_ours(vfs, name, "")) return open_main(vfs, (rp_main_file *)file);
    if ((flags & SQLITE_OPEN_WAL) && is_ours(vfs, name, "-wal")) {
        rp_wal_file_init((rp_wal_file *)file, (rp_main_file *)sqlite3_database_file_object(name));
        return SQLITE_OK;
    }
    return SQLITE_CANTOPEN; // other databases (ATTACH, VACUUM INTO), rollback and super-journals
}

static int vfs_delete(sqlite3_vfs *base, const char *name, int sync) {
    rp_vfs *vfs = (rp_vfs *)base;
    if (is_ours(vfs, name, "-wal") || is_ours(vfs, name, "-journal")) return SQLITE_OK;
    if (is_ours(vfs, name, "")) return SQLITE_IOERR_DELETE;
    return vfs->real->xDelete(vfs->real, name, sync);
}

// That there is a WAL is how SQLite knows, before it reads page 1, that the database has one (pagerOpenWalIfPresent).
static int vfs_access(sqlite3_vfs *base, const char *name, int flags, int *out) {
    rp_vfs *vfs = (rp_vfs *)base;
    *out = is_ours(vfs, name, "-wal") || is_ours(vfs, name, "");
    if (*out || is_ours(vfs, name, "-journal")) return SQLITE_OK;
    return vfs->real->xAccess(vfs->real, name, flags, out);
}

static int vfs_full_pathname(sqlite3_vfs *base, const char *name, int size, char *out) {
    rp_vfs *vfs = (rp_vfs *)base;
    if (!is_ours(vfs, name, "")) return vfs->real->xFullPathname(vfs->real, name, size, out);
    // As it is: SQLite's own would follow symbolic links, to a name that is not ours.
    if ((int)strlen(name) >= size) return SQLITE_CANTOPEN;
    strcpy(out, name);
    return SQLITE_OK;
}

int rp_vfs_register(rp_vfs *vfs, rp_database *database, rp_view_kind kind) {
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    if (real == NULL) return SQLITE_ERROR;
    vfs->base = *real; // random numbers, time, sleep
    vfs->real = real;
    vfs->database = database;
    vfs->kind = kind;
    const char *view = kind == RP_OVERLAY ? "overlay" : "committed";
    snprintf(vfs->name, sizeof vfs->name, "replica-%p-%s", (void *)database, view);
    vfs->base.zName = vfs->name;
    vfs->base.pNext = NULL;
    int sizes[] = {real->szOsFile, (int)sizeof(rp_main_file), (int)sizeof(rp_wal_file)};
    for (int i = 0; i < 3; i++) {
        if (sizes[i] > vfs->base.szOsFile) vfs->base.szOsFile = sizes[i];
    }
    vfs->base.xOpen = vfs_open;
    vfs->base.xDelete = vfs_delete;
    vfs->base.xAccess = vfs_access;
    vfs->base.xFullPathname = vfs_full_pathname;
    return sqlite3_vfs_register(&vfs->base, 0);
}

void rp_vfs_unregister(rp_vfs *vfs) {
    sqlite3_vfs_unregister(&vfs->base);
}

// MARK: Connections

int rp_connection_open(rp_database *database, rp_view_kind kind, sqlite3 **out) {
    *out = NULL;
    if (kind == RP_OVERLAY) {
        pthread_mutex_lock(&database->overlay_mutex);
        bool exists = database->overlay != NULL;
        pthread_mutex_unlock(&database->overlay_mutex);
        if (!exists) return RP_NOT_LEADER;
    }
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    sqlite3 *connection = NULL;
    int rc = sqlite3_open_v2(database->file.path, &connection, flags, database->vfs[kind].name);
    rp_main_file *file = rc == SQLITE_OK ? rp_main_file_of(connection) : NULL;
    if (rc == SQLITE_OK && file == NULL) rc = SQLITE_ERROR;
    if (rc == SQLITE_OK) rc = sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_wal_autocheckpoint(connection, 0);
    // What users are told when they ask, and rightly. To SQLite it means a sync at the end of a transaction, which does
    // nothing here, and no padding of the WAL: see rp_any_device_characteristics.
    if (rc == SQLITE_OK) rc = sqlite3_exec(connection, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
    if (rc == SQLITE_OK && kind == RP_COMMITTED) rc = sqlite3_exec(connection, "PRAGMA query_only=1", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        sqlite3_close(connection);
        return rc;
    }
    file->is_open_to_setup = false;
    *out = connection;
    return SQLITE_OK;
}

bool rp_connection_take_limit_hit(sqlite3 *connection) {
    rp_main_file *file = rp_main_file_of(connection);
    bool hit = file != NULL && file->limit_hit;
    if (hit) file->limit_hit = false;
    return hit;
}

bool rp_connection_take_wait_hit(sqlite3 *connection) {
    rp_main_file *file = rp_main_file_of(connection);
    bool hit = file != NULL && file->wait_hit;
    if (hit) file->wait_hit = false;
    return hit;
}

void rp_connection_set_waits(sqlite3 *connection, bool waits) {
    rp_main_file *file = rp_main_file_of(connection);
    if (file != NULL) file->waits = waits;
}
