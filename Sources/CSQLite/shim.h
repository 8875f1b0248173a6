#ifndef DQLITE_CSQLITE_H
#define DQLITE_CSQLITE_H

#include <sqlite3.h>

// sqlite3_db_config is variadic, which Swift cannot call. Only settings that take a switch are set through this.
static inline int dqlite_sqlite3_set(sqlite3 *connection, int setting, int on) {
    return sqlite3_db_config(connection, setting, on, (int *)0);
}

#endif
