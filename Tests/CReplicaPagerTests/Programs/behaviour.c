// What include/replica_pager.h says, case by case.

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pager_programs.h"
#include "support.h"

static rp_database *open_at(const char *path) {
    rp_database *database;
    OK(rp_open(path, NULL, &database));
    return database;
}

static sqlite3 *connect(rp_database *database, rp_view_kind kind) {
    sqlite3 *connection;
    OK(rp_connection_open(database, kind, &connection));
    return connection;
}

// Takes what there is through consensus.
static void commit_all(rp_database *database, uint64_t *index) {
    rp_batch *batch;
    while ((batch = rp_cut(database)) != NULL) {
        OK(rp_apply_batch(database, batch, ++*index));
        rp_batch_release(batch);
    }
}

static int64_t count_in(sqlite3 *connection) {
    int rc;
    int64_t count = number_of(connection, "SELECT count(*) FROM t", &rc);
    OK(rc);
    return count;
}

// Rows of about a page each.
static int fill(sqlite3 *connection, int rows) {
    return run(
        connection,
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<%d)"
        " INSERT INTO t(a) SELECT randomblob(3000) FROM c", rows);
}

static rp_statistics statistics_of(rp_database *database) {
    rp_statistics statistics;
    rp_get_statistics(database, &statistics);
    return statistics;
}

static void opening_creates_nothing(const char *directory) {
    char *path = path_in(directory, "lazy", 0);
    rp_database *database = open_at(path);
    sqlite3 *reader = connect(database, RP_COMMITTED);
    int rc;
    EXPECT(number_of(reader, "SELECT count(*) FROM sqlite_schema", &rc) == 0 && rc == SQLITE_OK);
    EXPECT(access(path, F_OK) != 0);
    sqlite3 *connection;
    EXPECT_RC(rp_connection_open(database, RP_OVERLAY, &connection), RP_NOT_LEADER);

    uint64_t index = 0;
    OK(rp_overlay_begin(database, 1));
    EXPECT_RC(rp_overlay_begin(database, 1), SQLITE_MISUSE);
    sqlite3 *writer = connect(database, RP_OVERLAY);
    OK(run(writer, "CREATE TABLE t(a); INSERT INTO t VALUES(1)"));
    EXPECT(number_of(reader, "SELECT count(*) FROM sqlite_schema", &rc) == 0);
    commit_all(database, &index);
    EXPECT(count_in(reader) == 1);
    EXPECT(access(path, F_OK) != 0);
    EXPECT_RC(rp_close(database), SQLITE_BUSY);
    checkpoint_all(database);
    EXPECT(access(path, F_OK) == 0);
    EXPECT(count_in(reader) == 1 && count_in(writer) == 1);
    EXPECT(statistics_of(database).committed_frames == 0);

    // Others are kept away while it is open, and find a database of SQLite's afterwards.
    sqlite3 *outside;
    OK(sqlite3_open_v2(path, &outside, SQLITE_OPEN_READWRITE, NULL));
    EXPECT(run(outside, "SELECT * FROM t") == SQLITE_BUSY);
    rp_database *second;
    EXPECT_RC(rp_open(path, NULL, &second), SQLITE_BUSY);
    OK(sqlite3_close(reader));
    OK(sqlite3_close(writer));
    OK(rp_close(database));
    EXPECT(count_in(outside) == 1 && is_sound(outside));
    OK(sqlite3_close(outside));
    free(path);
}

static void batches_hold_the_newest_pages(const char *directory) {
    char *path = path_in(directory, "batches", 0);
    rp_database *database = open_at(path);
    OK(rp_overlay_begin(database, 7));
    sqlite3 *writer = connect(database, RP_OVERLAY);
    EXPECT(rp_cut(database) == NULL);
    OK(run(writer, "CREATE TABLE t(a)"));
    for (int i = 0; i < 10; i++) OK(run(writer, "INSERT INTO t VALUES(%d)", i));
    uint64_t gate;
    OK(rp_connection_gate(writer, &gate));
    EXPECT(gate == 11);
    EXPECT(rp_uncut_pages(database) == 2);
    rp_batch *batch = rp_cut(database);
    EXPECT(rp_batch_count(batch) == 2 && rp_batch_transactions(batch) == 11 && rp_batch_last_sequence(batch) == 11);
    EXPECT(rp_batch_term(batch) == 7 && rp_batch_commit_size(batch) == 2);
    EXPECT(rp_uncut_pages(database) == 0);

    // A transaction that is rolled back, or changes nothing, is none.
    OK(run(writer, "BEGIN; INSERT INTO t VALUES(1); ROLLBACK; UPDATE t SET a=a WHERE a=-1"));
    EXPECT(rp_cut(database) == NULL);

    // In flight, pages are kept through a rebuild; order and index are looked at.
    OK(run(writer, "UPDATE t SET a=a+1"));
    rp_batch *later = rp_cut(database);
    OK(run(writer, "UPDATE t SET a=a+1"));
    OK(rp_overlay_rebuild(database));
    int rc;
    EXPECT(number_of(writer, "SELECT sum(a) FROM t", &rc) == 65);
    EXPECT_RC(rp_apply_batch(database, later, 1), SQLITE_MISUSE);
    OK(rp_apply_batch(database, batch, 5));
    EXPECT_RC(rp_apply_batch(database, later, 5), SQLITE_MISUSE);
    EXPECT_RC(rp_apply(database, 6, 0, NULL, 0), SQLITE_MISUSE);
    OK(rp_apply_batch(database, later, 6));
    sqlite3 *reader = connect(database, RP_COMMITTED);
    EXPECT(number_of(reader, "SELECT sum(a) FROM t", &rc) == 55);
    rp_batch_release(batch);
    rp_batch_release(later);

    // Beyond VACUUM's new size there is nothing to replicate.
    OK(fill(writer, 50));
    OK(run(writer, "DELETE FROM t WHERE typeof(a)='blob'; VACUUM"));
    batch = rp_cut(database);
    EXPECT(rp_batch_commit_size(batch) == 2 && rp_batch_count(batch) == 2);
    OK(rp_apply_batch(database, batch, 7));
    rp_batch_release(batch);
    checkpoint_all(database);
    struct stat status;
    EXPECT(stat(path, &status) == 0 && status.st_size == 2 * RP_PAGE_SIZE);
    OK(sqlite3_close(writer));
    OK(sqlite3_close(reader));
    OK(rp_close(database));
    free(path);
}

static void doom_ends_everything(const char *directory) {
    char *path = path_in(directory, "doom", 0);
    rp_database *database = open_at(path);
    OK(rp_overlay_begin(database, 1));
    sqlite3 *idle = connect(database, RP_OVERLAY), *busy = connect(database, RP_OVERLAY);
    OK(run(idle, "CREATE TABLE t(a)"));
    uint64_t index = 0, gate;
    commit_all(database, &index);
    OK(run(idle, "INSERT INTO t VALUES(1)"));
    rp_batch *batch = rp_cut(database);
    OK(run(busy, "BEGIN IMMEDIATE; INSERT INTO t VALUES(2)"));
    OK(rp_connection_gate(idle, &gate));
    rp_overlay_doom(database);
    rp_overlay_doom(database);
    EXPECT_RC(rp_connection_gate(idle, &gate), RP_NOT_LEADER);
    EXPECT(run(idle, "SELECT * FROM t") == RP_NOT_LEADER);
    EXPECT(run(busy, "COMMIT") == RP_NOT_LEADER);
    EXPECT(sqlite3_get_autocommit(busy));
    EXPECT(run(busy, "SELECT * FROM t") == RP_NOT_LEADER);
    EXPECT(rp_cut(database) == NULL);
    sqlite3 *none;
    EXPECT_RC(rp_connection_open(database, RP_OVERLAY, &none), RP_NOT_LEADER);
    EXPECT_RC(rp_overlay_rebuild(database), RP_NOT_LEADER);

    // A new term, beside connections of the old one; and an entry of the old term that was committed after all.
    OK(rp_apply_batch(database, batch, ++index));
    rp_batch_release(batch);
    OK(rp_overlay_begin(database, 2));
    sqlite3 *writer = connect(database, RP_OVERLAY);
    EXPECT(count_in(writer) == 1);
    OK(run(writer, "INSERT INTO t VALUES(3)"));
    EXPECT(run(idle, "SELECT * FROM t") == RP_NOT_LEADER);
    OK(sqlite3_close(idle));
    OK(sqlite3_close(busy));
    EXPECT(count_in(writer) == 2);
    OK(sqlite3_close(writer));
    rp_overlay_doom(database);
    checkpoint_all(database);
    EXPECT(statistics_of(database).page_buffers == 0);
    OK(rp_close(database));
    free(path);
}

static void limits_of_a_transaction(const char *directory) {
    char *path = path_in(directory, "limit", 0);
    rp_options options = {.maximum_transaction_pages = 20};
    rp_database *database;
    OK(rp_open(path, &options, &database));
    OK(rp_overlay_begin(database, 1));
    sqlite3 *writer = connect(database, RP_OVERLAY);
    OK(run(writer, "CREATE TABLE t(a)"));
    for (int spills = 0; spills < 2; spills++) {
        if (spills) OK(run(writer, "PRAGMA cache_size=4"));
        EXPECT(!rp_connection_take_limit_hit(writer));
        EXPECT(fill(writer, 100) == SQLITE_FULL);
        EXPECT(rp_connection_take_limit_hit(writer) && !rp_connection_take_limit_hit(writer));
        EXPECT(count_in(writer) == 0);
        OK(fill(writer, 10));
        OK(run(writer, "DELETE FROM t"));
    }
    EXPECT(statistics_of(database).refused_frame_writes == 0);
    OK(sqlite3_close(writer));
    OK(rp_close(database));
    free(path);
}

static void snapshots_hold_the_file_back(const char *directory) {
    char *path = path_in(directory, "snapshots", 0);
    rp_database *database = open_at(path);
    OK(rp_overlay_begin(database, 1));
    sqlite3 *writer = connect(database, RP_OVERLAY), *reader = connect(database, RP_COMMITTED);
    uint64_t index = 0, reached;
    OK(run(writer, "CREATE TABLE t(a); INSERT INTO t VALUES(1)"));
    commit_all(database, &index);
    OK(run(reader, "BEGIN; SELECT * FROM t"));
    EXPECT(count_in(reader) == 1);
    OK(run(writer, "INSERT INTO t VALUES(2)"));
    commit_all(database, &index);
    EXPECT_RC(rp_backfill_begin(database, 0, &reached), SQLITE_DONE);
    OK(rp_backfill_begin(database, 2, &reached));
    EXPECT(reached == 1);
    uint64_t other;
    EXPECT_RC(rp_backfill_begin(database, 2, &other), SQLITE_MISUSE);
    OK(rp_backfill_run(database));
    rp_backfill_end(database, true);
    EXPECT(statistics_of(database).backfilled_index == 1);
    EXPECT_RC(rp_reset(database, 1000), SQLITE_BUSY);
    EXPECT_RC(rp_backfill_begin(database, 2, &reached), SQLITE_DONE);

    // Memory goes, the snapshot stays: its frames come from the file.
    uint64_t before = statistics_of(database).page_buffers;
    OK(rp_overlay_rebuild(database));
    rp_shed(database);
    EXPECT(statistics_of(database).page_buffers < before);
    OK(run(reader, "PRAGMA cache_size=0"));
    EXPECT(count_in(reader) == 1 && is_sound(reader));
    OK(run(reader, "COMMIT"));
    EXPECT(count_in(reader) == 2);

    // An overlay's snapshot holds it back too, at the batch that it has seen. Its first page comes from the file.
    sqlite3 *session = connect(database, RP_OVERLAY);
    OK(run(session, "BEGIN; SELECT * FROM t"));
    OK(run(writer, "INSERT INTO t VALUES(3)"));
    commit_all(database, &index);
    OK(rp_backfill_begin(database, index, &reached));
    EXPECT(reached == 2);
    OK(rp_backfill_run(database));
    rp_backfill_end(database, true);
    EXPECT_RC(rp_overlay_rebuild(database), SQLITE_BUSY);
    rp_shed(database);
    OK(run(session, "PRAGMA cache_size=0"));
    EXPECT(count_in(session) == 2);
    EXPECT(run(session, "INSERT INTO t VALUES(9)") == SQLITE_BUSY_SNAPSHOT);
    OK(run(session, "ROLLBACK"));
    EXPECT(count_in(session) == 3);

    // Who reads the file alone holds back everything.
    checkpoint_all(database);
    OK(run(reader, "BEGIN; SELECT * FROM t"));
    OK(run(writer, "INSERT INTO t VALUES(4)"));
    commit_all(database, &index);
    EXPECT_RC(rp_backfill_begin(database, index, &reached), SQLITE_BUSY);
    EXPECT(count_in(reader) == 3);
    OK(run(reader, "COMMIT"));
    checkpoint_all(database);
    OK(sqlite3_close(reader));
    OK(sqlite3_close(writer));
    OK(sqlite3_close(session));
    OK(rp_close(database));
    free(path);
}

// As many frames as before a reset, and as many pages: only the change counter tells a reader that its cache is old.
static void a_reset_is_noticed(const char *directory) {
    char *path = path_in(directory, "reset", 0);
    rp_database *database = open_at(path);
    OK(rp_overlay_begin(database, 1));
    sqlite3 *writer = connect(database, RP_OVERLAY), *reader = connect(database, RP_COMMITTED);
    uint64_t index = 0;
    OK(run(writer, "CREATE TABLE t(a); INSERT INTO t VALUES(0)"));
    commit_all(database, &index);
    for (int i = 1; i < 20; i++) {
        int rc;
        checkpoint_all(database);
        OK(run(writer, "UPDATE t SET a=%d", i));
        commit_all(database, &index);
        if (one_in(3)) OK(rp_overlay_rebuild(database));
        EXPECT(statistics_of(database).committed_frames == 1);
        EXPECT(number_of(reader, "SELECT a FROM t", &rc) == i);
        EXPECT(number_of(writer, "SELECT a FROM t", &rc) == i);
    }
    OK(sqlite3_close(reader));
    OK(sqlite3_close(writer));
    OK(rp_close(database));
    free(path);
}

// Transactions back to back do not pile up pages, unless somebody has an older snapshot.
static void superseded_pages_are_freed(const char *directory) {
    char *path = path_in(directory, "superseded", 0);
    rp_database *database = open_at(path);
    OK(rp_overlay_begin(database, 1));
    sqlite3 *writer = connect(database, RP_OVERLAY), *session = connect(database, RP_OVERLAY);
    OK(run(writer, "CREATE TABLE t(a)"));
    for (int i = 0; i < 100; i++) OK(run(writer, "INSERT INTO t VALUES(%d)", i));
    rp_statistics statistics = statistics_of(database);
    EXPECT(statistics.overlay_frames > 100 && statistics.page_buffers == 2);
    OK(run(session, "PRAGMA cache_size=0; BEGIN"));
    EXPECT(count_in(session) == 100);
    for (int i = 0; i < 10; i++) OK(run(writer, "INSERT INTO t VALUES(%d)", i));
    EXPECT(statistics_of(database).page_buffers == 12);
    EXPECT(count_in(session) == 100 && is_sound(session) && count_in(writer) == 110);
    OK(run(session, "COMMIT"));
    OK(rp_overlay_rebuild(database));
    EXPECT(statistics_of(database).page_buffers == 2 && count_in(session) == 110);

    // Also after pages of the uncut batch were cut off, and the frames have other numbers since.
    for (int i = 0; i < 3; i++) {
        OK(fill(writer, 40));
        OK(run(writer, "DELETE FROM t WHERE typeof(a)='blob'; VACUUM"));
        OK(rp_overlay_rebuild(database));
        for (int k = 0; k < 5; k++) OK(run(writer, "INSERT INTO t VALUES(zeroblob(2000)||%d)", k));
        OK(fill(writer, 40));
        EXPECT(is_sound(session) && is_sound(writer));
    }
    OK(sqlite3_close(session));
    OK(sqlite3_close(writer));
    OK(rp_close(database));
    free(path);
}

typedef struct faults {
    int writes_left; // then there is no room
    bool sync_fails;
} faults;

static ssize_t faulty_pwrite(void *context, int fd, const void *bytes, size_t count, off_t offset) {
    faults *f = context;
    if (f->writes_left-- <= 0) {
        errno = ENOSPC;
        return -1;
    }
    return pwrite(fd, bytes, count > 1000 ? 1000 : count, offset); // in pieces
}

static int faulty_ftruncate(void *context, int fd, off_t size) {
    (void)context;
    return ftruncate(fd, size);
}

static int faulty_fdatasync(void *context, int fd) {
    faults *f = context;
    errno = EIO;
    return f->sync_fails ? -1 : fsync(fd);
}

static void a_failed_backfill_does_no_harm(const char *directory) {
    char *path = path_in(directory, "faults", 0);
    faults f = {.writes_left = 3};
    rp_file_calls calls = {&f, faulty_pwrite, faulty_ftruncate, faulty_fdatasync, faulty_fdatasync};
    rp_options options = {.file_calls = &calls};
    rp_database *database;
    OK(rp_open(path, &options, &database));
    OK(rp_overlay_begin(database, 1));
    sqlite3 *writer = connect(database, RP_OVERLAY), *reader = connect(database, RP_COMMITTED);
    uint64_t index = 0, reached;
    OK(run(writer, "CREATE TABLE t(a); INSERT INTO t VALUES(1)"));
    commit_all(database, &index);
    OK(rp_backfill_begin(database, index, &reached));
    EXPECT_RC(rp_backfill_run(database), SQLITE_FULL); // while the file is being made
    rp_backfill_end(database, false);
    f.writes_left = 8;
    OK(rp_backfill_begin(database, index, &reached));
    EXPECT_RC(rp_backfill_run(database), SQLITE_FULL); // in the middle of a page
    rp_backfill_end(database, false);
    EXPECT(count_in(reader) == 1 && count_in(writer) == 1);
    f = (faults){.writes_left = 1000, .sync_fails = true};
    OK(rp_backfill_begin(database, index, &reached));
    EXPECT_RC(rp_backfill_run(database), SQLITE_IOERR_FSYNC);
    rp_backfill_end(database, false);
    EXPECT(statistics_of(database).backfilled_frames == 0);
    f.sync_fails = false;
    checkpoint_all(database);
    EXPECT(count_in(reader) == 1 && is_sound(reader));
    OK(sqlite3_close(reader));
    OK(sqlite3_close(writer));
    OK(rp_close(database));
    free(path);
}

static void entries_are_checked(const char *directory) {
    char *path = path_in(directory, "entries", 0);
    rp_database *database = open_at(path);
    uint8_t bytes[RP_PAGE_SIZE] = {0};
    rp_page_image page = {.number = 0, .bytes = bytes};
    EXPECT_RC(rp_apply(database, 1, 1, &page, 1), SQLITE_CORRUPT);
    page.number = 0x40000000 / RP_PAGE_SIZE + 1;
    EXPECT_RC(rp_apply(database, 1, 1, &page, 300000), SQLITE_CORRUPT);
    page.number = 1; // says that the database has no pages
    EXPECT_RC(rp_apply(database, 1, 1, &page, 0), SQLITE_CORRUPT);
    EXPECT(statistics_of(database).applied_index == 0);
    OK(rp_apply(database, 4, 0, NULL, 0));
    EXPECT_RC(rp_apply(database, 4, 0, NULL, 0), SQLITE_MISUSE);
    OK(rp_close(database));
    free(path);
}

// A file with a hole up to just below 1 GiB, whose next pages lie around the one that SQLite keeps for its locks.
static void around_the_lock_byte_page(const char *directory) {
    const uint32_t lock_page = 0x40000000 / RP_PAGE_SIZE + 1;
    char *path = path_in(directory, "large", 0);
    rp_database *database = open_at(path);
    OK(rp_overlay_begin(database, 1));
    sqlite3 *writer = connect(database, RP_OVERLAY);
    uint64_t index = 0;
    OK(run(writer, "CREATE TABLE t(a)"));
    commit_all(database, &index);
    checkpoint_all(database);
    OK(sqlite3_close(writer));
    OK(rp_close(database));

    int fd = open(path, O_RDWR);
    const uint32_t pages = lock_page - 20;
    const uint8_t size[4] = {0, (uint8_t)(pages >> 16), (uint8_t)(pages >> 8), (uint8_t)pages};
    EXPECT(pwrite(fd, size, 4, 28) == 4 && ftruncate(fd, (off_t)pages * RP_PAGE_SIZE) == 0);
    close(fd);

    database = open_at(path);
    OK(rp_overlay_begin(database, 2));
    writer = connect(database, RP_OVERLAY);
    sqlite3 *reader = connect(database, RP_COMMITTED);
    uint64_t expected = 0;
    for (int i = 0; i < 60; i++) {
        OK(run(writer, "INSERT INTO t VALUES(zeroblob(3000)||%d)", i));
        if (i % 7 != 0) continue;
        rp_batch *batch = rp_cut(database);
        for (uint32_t p = 0; p < rp_batch_count(batch); p++) EXPECT(rp_batch_page(batch, p).number != lock_page);
        OK(rp_apply_batch(database, batch, ++index));
        rp_batch_release(batch);
    }
    commit_all(database, &index);
    EXPECT(count_in(reader) == 60);
    expected = content_of(reader);
    checkpoint_all(database);
    OK(run(reader, "PRAGMA cache_size=0"));
    EXPECT(content_of(reader) == expected && content_of(writer) == expected);
    struct stat status;
    EXPECT(stat(path, &status) == 0 && status.st_size > (off_t)lock_page * RP_PAGE_SIZE);
    OK(run(writer, "DELETE FROM t WHERE rowid>5; VACUUM"));
    commit_all(database, &index);
    checkpoint_all(database);
    EXPECT(stat(path, &status) == 0 && status.st_size < 100 * RP_PAGE_SIZE);
    EXPECT(count_in(reader) == 5 && is_sound(reader));
    OK(sqlite3_close(reader));
    OK(sqlite3_close(writer));
    OK(rp_close(database));
    unlink(path);
    free(path);
}

// The WAL-index has regions of about 4096 frames each.
static void many_frames(const char *directory) {
    char *path = path_in(directory, "frames", 0);
    rp_database *database = open_at(path);
    OK(rp_overlay_begin(database, 1));
    sqlite3 *writer = connect(database, RP_OVERLAY), *reader = connect(database, RP_COMMITTED);
    OK(run(writer, "CREATE TABLE t(a, id INTEGER PRIMARY KEY)"));
    OK(fill(writer, 1000));
    uint64_t index = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            OK(run(writer, "UPDATE t SET a=randomblob(3000) WHERE id%%%d=%d", 2 + i % 5, i % 2));
            commit_all(database, &index);
            if (i % 10 == 9) OK(rp_overlay_rebuild(database));
        }
        EXPECT(statistics_of(database).committed_frames > 2 * 4096);
        uint64_t expected = content_of(writer);
        EXPECT(content_of(reader) == expected && is_sound(reader));
        checkpoint_all(database);
        EXPECT(content_of(reader) == expected && is_sound(reader));
    }
    OK(sqlite3_close(reader));
    OK(sqlite3_close(writer));
    OK(rp_close(database));
    unlink(path);
    free(path);
}

// Where the system can tell, a connection that must not wait gets an error instead of a page that is not in memory.
static void reads_that_do_not_wait(const char *directory) {
    char *path = path_in(directory, "waits", 0);
    rp_database *database = open_at(path);
    OK(rp_overlay_begin(database, 1));
    sqlite3 *writer = connect(database, RP_OVERLAY), *reader = connect(database, RP_COMMITTED);
    uint64_t index = 0;
    OK(run(writer, "CREATE TABLE t(a)"));
    OK(fill(writer, 2000));
    commit_all(database, &index);
    checkpoint_all(database);
    int fd = open(path, O_RDWR);
    EXPECT(fsync(fd) == 0);
#ifdef POSIX_FADV_DONTNEED
    bool forgotten = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
#else
    bool forgotten = false;
#endif
    close(fd);
    rp_connection_set_waits(reader, false);
    int rc = run(reader, "SELECT sum(length(a)) FROM t");
    EXPECT(rp_connection_take_wait_hit(reader) == (rc != SQLITE_OK));
    EXPECT(rc == SQLITE_OK || forgotten);
    rp_connection_set_waits(reader, true);
    OK(run(reader, "SELECT sum(length(a)) FROM t"));
    rp_connection_set_waits(reader, false);
    OK(run(reader, "SELECT sum(length(a)) FROM t"));
    EXPECT(!rp_connection_take_wait_hit(reader));
    OK(sqlite3_close(reader));
    OK(sqlite3_close(writer));
    OK(rp_close(database));
    unlink(path);
    free(path);
}

int pager_behaviour(const char *directory) {
    opening_creates_nothing(directory);
    batches_hold_the_newest_pages(directory);
    doom_ends_everything(directory);
    limits_of_a_transaction(directory);
    snapshots_hold_the_file_back(directory);
    a_reset_is_noticed(directory);
    superseded_pages_are_freed(directory);
    a_failed_backfill_does_no_harm(directory);
    entries_are_checked(directory);
    around_the_lock_byte_page(directory);
    many_frames(directory);
    reads_that_do_not_wait(directory);
    printf("behaviour: as documented\n");
    return 0;
}
