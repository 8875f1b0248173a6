// Crashes in the middle of a checkpoint. One replica works, with checkpoints at random; the writes of one of them are
// watched, and a file is made in which each of them was done, lost, torn or scrambled. Redo of the log from the last
// completed checkpoint, up to what was durable in the log, has to give the same bytes as a replay from its beginning.

#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pager_programs.h"
#include "support.h"

#define MAXIMUM_ENTRIES 4096

// A change of the file.
typedef struct change {
    off_t offset;
    size_t count; // 0: truncated to `offset`
    uint8_t *bytes;
} change;

static struct {
    bool is_watched;
    change *changes;
    size_t count, capacity;
} watch;

static void note(off_t offset, const void *bytes, size_t count) {
    if (!watch.is_watched) return;
    if (watch.count == watch.capacity) {
        watch.capacity = watch.capacity ? 2 * watch.capacity : 256;
        watch.changes = realloc(watch.changes, watch.capacity * sizeof *watch.changes);
    }
    change *c = &watch.changes[watch.count++];
    *c = (change){offset, count, NULL};
    if (count > 0) memcpy(c->bytes = malloc(count), bytes, count);
}

static ssize_t watched_pwrite(void *context, int fd, const void *bytes, size_t count, off_t offset) {
    (void)context;
    note(offset, bytes, count);
    return pwrite(fd, bytes, count, offset);
}

static int watched_ftruncate(void *context, int fd, off_t size) {
    (void)context;
    note(size, NULL, 0);
    return ftruncate(fd, size);
}

static int no_sync(void *context, int fd) {
    (void)context, (void)fd;
    return 0;
}

static entry entries[MAXIMUM_ENTRIES];
static uint32_t entry_count;
static struct { unsigned long done, lost, torn, scrambled; } counts;

// MARK: Work

static void work(sqlite3 *c, uint32_t steps) {
    static const char *const fixed[] = {
        "REINDEX", "DELETE FROM a", "VACUUM", "ALTER TABLE a ADD COLUMN zz; ALTER TABLE a DROP COLUMN zz",
        "CREATE INDEX IF NOT EXISTS a_y ON a(y, x)", "DROP INDEX IF EXISTS a_y",
        "INSERT INTO a(id, x) VALUES(1, 2), (1, 3)", // fails half-way
        "CREATE TABLE IF NOT EXISTS copy AS SELECT * FROM a LIMIT 40", "DROP TABLE IF EXISTS copy",
    };
    for (uint32_t i = 0; i < steps; i++) {
        uint32_t k = below(100);
        if (k < 35) {
            uint32_t size = one_in(20) ? below(60000) : below(300);
            run(c, "INSERT INTO a(x,y,z) VALUES(%u,hex(randomblob(%u)),randomblob(%u))", below(1000), below(60), size);
        } else if (k < 50) {
            run(c, "UPDATE a SET x=%u,z=randomblob(%u) WHERE id IN (SELECT id FROM a ORDER BY x LIMIT %u)", below(1000),
                below(3000), 1 + below(10));
        } else if (k < 60) {
            run(c, "DELETE FROM a WHERE x BETWEEN %u AND %u", below(500), 500 + below(50));
        } else if (k < 70) {
            run(c, "INSERT OR REPLACE INTO b VALUES('k%u',%u,hex(randomblob(%u)))", below(300), below(1 << 30),
                below(400));
        } else if (k < 80) {
            run(c, "BEGIN; INSERT INTO a(x,z) VALUES(1,randomblob(5000)); SAVEPOINT s;"
                   "WITH RECURSIVE n(i) AS(SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%u)"
                   " INSERT INTO a(x,z) SELECT i,randomblob(900) FROM n; %s;"
                   "INSERT INTO a(x,z) VALUES(2,randomblob(7000))",
                20 + below(150), one_in(2) ? "ROLLBACK TO s" : "RELEASE s");
            if (!sqlite3_get_autocommit(c)) run(c, one_in(4) ? "ROLLBACK" : "COMMIT");
        } else if (k < 90) {
            run(c, "INSERT INTO words VALUES('w%u w%u w%u')", below(50), below(50), below(50));
        } else {
            run(c, "%s", fixed[below(sizeof fixed / sizeof fixed[0])]);
        }
    }
}

static void commit(rp_database *database) {
    rp_batch *batch = rp_cut(database);
    if (batch == NULL) return;
    if (entry_count == MAXIMUM_ENTRIES) FAIL("more entries than expected");
    entries[entry_count++] = entry_of(batch);
    OK(rp_apply_batch(database, batch, entry_count));
    rp_batch_release(batch);
}

// MARK: Crash

// What may be on the disk after a crash in the middle of the watched changes, when it was `bytes` before them.
static uint8_t *crashed(uint8_t *bytes, size_t *size) {
    size_t capacity = *size;
    for (size_t i = 0; i < watch.count; i++) {
        size_t end = (size_t)watch.changes[i].offset + watch.changes[i].count;
        if (end > capacity) capacity = end;
    }
    uint8_t *file = calloc(1, capacity);
    if (*size > 0) memcpy(file, bytes, *size);
    size_t made = one_in(3) ? below((uint32_t)watch.count + 1) : watch.count;
    bool all_done = one_in(4);
    for (size_t i = 0; i < made; i++) {
        change *c = &watch.changes[i];
        uint32_t how = all_done ? 0 : below(4);
        if (c->count == 0) {
            if (how < 2) *size = (size_t)c->offset;
            continue;
        }
        counts.done += how == 0, counts.lost += how == 1, counts.torn += how == 2, counts.scrambled += how == 3;
        if (how == 1) continue;
        if ((size_t)c->offset + c->count > *size) *size = (size_t)c->offset + c->count;
        size_t half = (1 + below((uint32_t)c->count / 512)) * 512 % c->count; // torn between sectors
        if (how == 0) memcpy(file + c->offset, c->bytes, c->count);
        if (how == 2 && one_in(2)) memcpy(file + c->offset, c->bytes, half);
        if (how == 2 && one_in(2)) memcpy(file + c->offset + half, c->bytes + half, c->count - half);
        uint32_t values = one_in(2) ? 256 : 1; // or zeros
        for (size_t b = 0; how == 3 && b < c->count; b++) file[(size_t)c->offset + b] = (uint8_t)below(values);
    }
    return file;
}

// A process that somebody starts at this moment has the file's lock until it has become another program.
static void open_again(const char *path, rp_database **out) {
    int result = rp_open(path, NULL, out);
    for (int i = 0; result == SQLITE_BUSY && i < 100000; i++) {
        sched_yield();
        result = rp_open(path, NULL, out);
    }
    OK(result);
}

// The file after entries first+1...last.
static void replay(const char *path, uint32_t first, uint32_t last) {
    rp_database *database;
    open_again(path, &database);
    for (uint32_t i = first; i < last; i++) {
        OK(apply_entry(database, &entries[i], i + 1));
        if (one_in(2)) checkpoint_all(database); // redo in portions
    }
    // Twice is as good as once.
    OK(rp_close(database));
    open_again(path, &database);
    for (uint32_t i = first; i < last; i++) OK(apply_entry(database, &entries[i], i + 1));
    checkpoint_all(database);
    OK(rp_close(database));
}

static bool is_same_file(const char *path, const char *other) {
    struct stat status, other_status;
    EXPECT(stat(path, &status) == 0 && stat(other, &other_status) == 0);
    if (status.st_size != other_status.st_size) return false; // also where a scrambled page 1 gives an absurd size
    size_t size = 0, other_size = 0;
    uint8_t *bytes = bytes_of_file(path, &size), *others = bytes_of_file(other, &other_size);
    bool same = size == other_size && memcmp(bytes, others, size) == 0;
    free(bytes);
    free(others);
    return same;
}

static bool one_trial(const char *directory, int control) {
    char *path = path_in(directory, "crash", 0), *broken = path_in(directory, "crash", 1);
    char *whole = path_in(directory, "crash", 2);
    rp_file_calls calls = {NULL, watched_pwrite, watched_ftruncate, no_sync, no_sync};
    rp_options options = {.file_calls = &calls};
    rp_database *database;
    sqlite3 *connection;
    OK(rp_open(path, &options, &database));
    OK(rp_overlay_begin(database, 1));
    OK(rp_connection_open(database, RP_OVERLAY, &connection));
    OK(run(connection, "PRAGMA cache_size=%d; PRAGMA temp_store=2", one_in(2) ? 10 : 2000));
    OK(run(connection, "CREATE TABLE a(id INTEGER PRIMARY KEY,x,y,z); CREATE INDEX a_x ON a(x);"
                       "CREATE TABLE b(k PRIMARY KEY,v,w) WITHOUT ROWID; CREATE VIRTUAL TABLE words USING fts5(x)"));
    commit(database);

    // Checkpoints, each up to what is durable. The writes of the last are watched.
    uint32_t checkpoints = 1 + below(5), done = 0, reached = 0, durable = 0;
    uint8_t *before = NULL;
    size_t size = 0;
    for (uint32_t k = 0; k < checkpoints; k++) {
        for (uint32_t i = below(6); i > 0 || entry_count == done; i -= i > 0) {
            // Some entries without page 1: after a scrambled one, redo does not know the size of the database for a
            // while.
            run(connection, "UPDATE a SET y='' WHERE id=(SELECT min(id) FROM a WHERE length(y)>0)");
            if (one_in(2)) commit(database);
            work(connection, 1 + below(12));
            commit(database);
        }
        durable = done + 1 + below(entry_count - done);
        watch.is_watched = k + 1 == checkpoints;
        if (watch.is_watched && access(path, F_OK) == 0) before = bytes_of_file(path, &size);
        uint64_t index;
        OK(rp_backfill_begin(database, durable, &index));
        OK(rp_backfill_run(database));
        rp_backfill_end(database, true);
        if (!watch.is_watched) done = (uint32_t)index;
        reached = (uint32_t)index;
        rp_reset(database, 0);
        if (one_in(3)) OK(rp_overlay_rebuild(database));
        if (one_in(3)) rp_shed(database);
    }
    watch.is_watched = false;
    OK(sqlite3_close(connection));
    OK(rp_close(database));

    // After the crash the log has what was durable; without it, and with what it lost, pages of the file are too new.
    uint8_t *file = crashed(before, &size);
    FILE *out = fopen(broken, "wb");
    EXPECT(out != NULL && fwrite(file, 1, size, out) == size && fclose(out) == 0);
    replay(whole, 0, durable);
    replay(broken, control == 1 ? durable : done, durable);
    bool same = is_same_file(broken, whole);
    if (!same && control == 0) FAIL("not as a replay: checkpoint %u to %u, durable %u", done, reached, durable);
    free(file);
    free(before);
    for (size_t i = 0; i < watch.count; i++) free(watch.changes[i].bytes);
    watch.count = 0;
    for (uint32_t i = 0; i < entry_count; i++) free_entry(&entries[i]);
    entry_count = 0;
    unlink(path), unlink(broken), unlink(whole);
    free(path), free(broken), free(whole);
    return same;
}

int pager_crashes(const char *directory, unsigned seed, int trials, int control) {
    int same = 0;
    memset(&counts, 0, sizeof counts);
    double began = now();
    for (int trial = 0; trial < trials; trial++) {
        seed_random((uint64_t)seed * 1000003 + (uint64_t)trial);
        same += one_trial(directory, control);
    }
    free(watch.changes);
    watch.changes = NULL;
    watch.capacity = 0;
    printf(
        "crashes: seed %u, %.1f s: %d of %d files as a replay%s; writes done %lu, lost %lu, torn %lu, scrambled %lu\n",
        seed, now() - began, same, trials, control ? " (control: without redo)" : "", counts.done, counts.lost,
        counts.torn, counts.scrambled);
    if (control == 1 && same * 2 > trials) FAIL("without redo most files are right: this test sees nothing");
    return 0;
}
