// What SQLite is not allowed to do to a replicated database, tried with every protection above the VFS taken off: no
// authorizer, query_only off, checkpoint on close on.

#include <string.h>
#include <unistd.h>

#include "pager_programs.h"
#include "support.h"

typedef struct attempt {
    const char *sql;
    int overlay;   // the result code there; SQLITE_OK: allowed
    int committed; // and on the committed view
} attempt;

static const attempt attempts[] = {
    {"CREATE TABLE a(x)", SQLITE_OK, SQLITE_READONLY},
    {"INSERT INTO a VALUES(1)", SQLITE_OK, SQLITE_READONLY},
    {"BEGIN IMMEDIATE; ROLLBACK", SQLITE_OK, SQLITE_READONLY},
    {"BEGIN EXCLUSIVE; ROLLBACK", SQLITE_OK, SQLITE_READONLY},
    {"VACUUM", SQLITE_OK, SQLITE_READONLY},
    {"ANALYZE", SQLITE_OK, SQLITE_READONLY},
    {"PRAGMA user_version=7", SQLITE_OK, SQLITE_READONLY},
    {"SELECT count(*) FROM a", SQLITE_OK, SQLITE_OK},
    {"PRAGMA integrity_check", SQLITE_OK, SQLITE_OK},
    {"CREATE TEMP TABLE IF NOT EXISTS tt AS SELECT * FROM a", SQLITE_OK, SQLITE_OK},
    {"PRAGMA journal_mode", SQLITE_OK, SQLITE_OK},
    {"PRAGMA foreign_keys=ON", SQLITE_OK, SQLITE_OK},
    {"PRAGMA cache_size=10", SQLITE_OK, SQLITE_OK},
    {"PRAGMA journal_mode=DELETE", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA main.journal_mode=OFF", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA journal_mode=MEMORY", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA journal_mode(wal)", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA locking_mode=EXCLUSIVE", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA wal_checkpoint", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA wal_checkpoint(TRUNCATE)", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA main.wal_checkpoint(RESTART)", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA wal_autocheckpoint=1", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA page_size=1024", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA synchronous=FULL", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA mmap_size=1000000", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA journal_size_limit=0", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA max_page_count=2", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA soft_heap_limit=1000", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA hard_heap_limit=100000000", SQLITE_ERROR, SQLITE_ERROR},
    {"PRAGMA temp_store_directory='/'", SQLITE_ERROR, SQLITE_ERROR},
    {"SELECT * FROM pragma_journal_mode", SQLITE_OK, SQLITE_OK},
};

static void expect_result(sqlite3 *connection, const char *sql, int expected, const char *view) {
    int rc = run(connection, "%s", sql);
    if ((rc & 0xff) != expected) {
        FAIL("%s: %s: %d %s, expected %d", view, sql, rc, sqlite3_errmsg(connection), expected);
    }
    if (!sqlite3_get_autocommit(connection)) run(connection, "ROLLBACK");
}

static void remove_protections(sqlite3 *connection) {
    OK(sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL));
    OK(sqlite3_wal_autocheckpoint(connection, 1));
    OK(run(connection, "PRAGMA query_only=0"));
}

int pager_refusals(const char *directory) {
    char *path = path_in(directory, "refusals", 0), *other = path_in(directory, "refusals", 1);
    char *sql = malloc(strlen(other) + 40);
    rp_database *database;
    OK(rp_open(path, NULL, &database));
    OK(rp_overlay_begin(database, 1));
    sqlite3 *overlay, *second, *committed;
    OK(rp_connection_open(database, RP_OVERLAY, &overlay));
    OK(rp_connection_open(database, RP_OVERLAY, &second));
    OK(rp_connection_open(database, RP_COMMITTED, &committed));
    remove_protections(overlay), remove_protections(second), remove_protections(committed);

    // First of all a committed state that has the table.
    uint64_t index = 0;
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        expect_result(overlay, attempts[i].sql, attempts[i].overlay, "overlay");
        rp_batch *batch = rp_cut(database);
        if (batch == NULL) continue;
        OK(rp_apply_batch(database, batch, ++index));
        rp_batch_release(batch);
        checkpoint_all(database);
    }
    size_t size = 0, size_after = 0;
    uint8_t *before = bytes_of_file(path, &size);
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        const char *text = attempts[i].sql;
        if (i == 0) text = "CREATE TABLE z(x)";
        expect_result(committed, text, attempts[i].committed, "committed");
        EXPECT(rp_cut(database) == NULL);
    }

    // Other files: not by any way.
    for (int view = 0; view < 2; view++) {
        sqlite3 *connection = view == 0 ? committed : overlay;
        sprintf(sql, "ATTACH '%s' AS o", other);
        EXPECT((run(connection, "%s", sql) & 0xff) == SQLITE_CANTOPEN);
        sprintf(sql, "VACUUM INTO '%s'", other);
        EXPECT((run(connection, "%s", sql) & 0xff) == SQLITE_CANTOPEN);
        EXPECT(access(other, F_OK) != 0);
        int frames, copied;
        for (int mode = SQLITE_CHECKPOINT_PASSIVE; mode <= SQLITE_CHECKPOINT_TRUNCATE; mode++) {
            EXPECT(sqlite3_wal_checkpoint_v2(connection, "main", mode, &frames, &copied) == SQLITE_BUSY);
        }
    }

    // Not even the last to close checkpoints or deletes anything.
    OK(run(overlay, "INSERT INTO a VALUES(2)"));
    OK(sqlite3_close(overlay));
    OK(sqlite3_close(second));
    OK(sqlite3_close(committed));
    uint8_t *after = bytes_of_file(path, &size_after);
    EXPECT(size == size_after && memcmp(before, after, size) == 0);
    OK(rp_connection_open(database, RP_OVERLAY, &overlay));
    int rc;
    EXPECT(number_of(overlay, "SELECT count(*) FROM a", &rc) == 2 && rc == SQLITE_OK);
    OK(sqlite3_close(overlay));
    OK(rp_close(database));
    char *names[] = {"-wal", "-shm", "-journal"};
    for (int i = 0; i < 3; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s%s", path, names[i]);
        EXPECT(access(name, F_OK) != 0);
    }
    printf("refusals: %zu statements on both views, other files, checkpoints, close\n",
           sizeof attempts / sizeof attempts[0]);
    free(before), free(after), free(path), free(other), free(sql);
    return 0;
}
