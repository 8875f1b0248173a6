// What a transaction costs without consensus: on an overlay, cut and applied in batches, with checkpoints; beside plain
// SQLite with a WAL and synchronous=OFF on the same directory. One thread.

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pager_programs.h"
#include "support.h"

// Seconds of the processor, since the machine may be busy with other things.
static double cpu_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static sqlite3_stmt *prepared(sqlite3 *connection, const char *sql) {
    sqlite3_stmt *statement;
    OK(sqlite3_prepare_v3(connection, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL));
    return statement;
}

static const char *const schema =
    "CREATE TABLE log(id INTEGER PRIMARY KEY, v BLOB); CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);"
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<100000)"
    " INSERT INTO t SELECT i, randomblob(80) FROM c";

static const char *const statements[] = {
    "INSERT INTO log(v) VALUES(randomblob(80))",
    "UPDATE t SET v=randomblob(80) WHERE id=?1",
    "SELECT v FROM t WHERE id=?1",
};
static const char *const names[] = {"insert", "update", "select"};

static double plain(const char *directory, int kind, int transactions) {
    char *path = path_in(directory, "plain", 0);
    sqlite3 *connection;
    OK(sqlite3_open_v2(path, &connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL));
    OK(run(connection, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; %s", schema));
    sqlite3_stmt *statement = prepared(connection, statements[kind]);
    double began = cpu_time();
    for (int i = 0; i < transactions; i++) {
        sqlite3_bind_int(statement, 1, 1 + (int)below(100000));
        while (sqlite3_step(statement) == SQLITE_ROW) {}
        sqlite3_reset(statement);
    }
    double spent = cpu_time() - began;
    sqlite3_finalize(statement);
    OK(sqlite3_close(connection));
    unlink(path);
    free(path);
    return spent / transactions * 1e6;
}

static double replicated(const char *directory, int kind, int transactions, int batch_size, int connections) {
    char *path = path_in(directory, "replicated", 0);
    rp_database *database;
    sqlite3 *connection[64];
    sqlite3_stmt *statement[64];
    OK(rp_open(path, NULL, &database));
    OK(rp_overlay_begin(database, 1));
    OK(rp_connection_open(database, RP_OVERLAY, &connection[0]));
    OK(run(connection[0], "%s", schema));
    uint64_t index = 0, reached;
    rp_batch *batch = rp_cut(database);
    OK(rp_apply_batch(database, batch, ++index));
    rp_batch_release(batch);
    checkpoint_all(database);
    OK(rp_overlay_rebuild(database));
    rp_view_kind view = kind == 2 ? RP_COMMITTED : RP_OVERLAY;
    OK(sqlite3_close(connection[0]));
    for (int i = 0; i < connections; i++) {
        OK(rp_connection_open(database, view, &connection[i]));
        statement[i] = prepared(connection[i], statements[kind]);
    }
    double began = cpu_time();
    for (int i = 0; i < transactions; i++) {
        sqlite3_stmt *next = statement[i % connections];
        sqlite3_bind_int(next, 1, 1 + (int)below(100000));
        while (sqlite3_step(next) == SQLITE_ROW) {}
        sqlite3_reset(next);
        if (kind == 2 || i % batch_size != batch_size - 1) continue;
        batch = rp_cut(database);
        OK(rp_apply_batch(database, batch, ++index));
        rp_batch_release(batch);
        rp_statistics statistics;
        rp_get_statistics(database, &statistics);
        if (statistics.committed_frames < 1000 && statistics.overlay_frames < 4000) continue;
        if (rp_backfill_begin(database, index, &reached) == SQLITE_OK) {
            OK(rp_backfill_run(database));
            rp_backfill_end(database, true);
        }
        OK(rp_reset(database, 0));
        OK(rp_overlay_rebuild(database));
    }
    double spent = cpu_time() - began;
    for (int i = 0; i < connections; i++) {
        sqlite3_finalize(statement[i]);
        OK(sqlite3_close(connection[i]));
    }
    OK(rp_close(database));
    unlink(path);
    free(path);
    return spent / transactions * 1e6;
}

int pager_benchmark(const char *directory) {
    printf("microseconds of the processor per transaction, best of 3\n");
    printf("%-8s %10s %14s %14s %14s\n", "", "plain WAL", "1 conn, 64/b", "1 conn, 1/b", "64 conns, 64/b");
    for (int kind = 0; kind < 3; kind++) {
        double best[4] = {1e9, 1e9, 1e9, 1e9};
        for (int round = 0; round < 3; round++) {
            double measured[4] = {
                plain(directory, kind, 100000), replicated(directory, kind, 200000, 64, 1),
                replicated(directory, kind, 100000, 1, 1), replicated(directory, kind, 100000, 64, 64),
            };
            for (int i = 0; i < 4; i++) best[i] = measured[i] < best[i] ? measured[i] : best[i];
        }
        printf("%-8s %10.2f %14.2f %14.2f %14.2f\n", names[kind], best[0], best[1], best[2], best[3]);
    }
    return 0;
}
