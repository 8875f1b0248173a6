package main

import (
	"fmt"
	"strings"
)

// What a restart must not lose.
var restartChecks = []check{
	{"what was acknowledged before the restart is there", func(t *T) {
		db := t.open("results.db")
		defer db.Close()
		equal(t, "rows", t.scalar(db, "SELECT count(*) FROM big"), int64(100_000))
		equal(t, "integrity", t.scalar(db, "PRAGMA integrity_check"), "ok")
	}},
}

// Results: large, wide, closed early, and failing half way.
var resultChecks = []check{
	{"100,000 rows", func(t *T) {
		db := t.open("results.db")
		defer db.Close()
		t.exec(db, "DROP TABLE IF EXISTS big")
		t.exec(db, "CREATE TABLE big (id INTEGER PRIMARY KEY, name TEXT, half REAL, data BLOB)")
		tx, err := db.BeginTx(t.context(), nil)
		t.must(err)
		const count, batch = 100_000, 20
		insert, err := tx.PrepareContext(t.context(),
			"INSERT INTO big VALUES "+strings.Repeat("(?, ?, ?, ?), ", batch-1)+"(?, ?, ?, ?)")
		t.must(err)
		for i := 1; i <= count; {
			var arguments []interface{}
			for end := i + batch; i < end; i++ {
				arguments = append(arguments, i, fmt.Sprintf("row %d", i), float64(i)/2, []byte{byte(i), byte(i >> 8)})
			}
			_, err := insert.ExecContext(t.context(), arguments...)
			t.must(err)
		}
		t.must(insert.Close())
		t.must(tx.Commit())
		rows, err := db.QueryContext(t.context(), "SELECT id, name, half, data FROM big ORDER BY id")
		t.must(err)
		defer rows.Close()
		i := 0
		for rows.Next() {
			i++
			var id int64
			var name string
			var half float64
			var data []byte
			t.must(rows.Scan(&id, &name, &half, &data))
			if id != int64(i) || name != fmt.Sprintf("row %d", i) || half != float64(i)/2 ||
				len(data) != 2 || data[0] != byte(i) || data[1] != byte(i>>8) {
				t.fatalf("row %d: %d %q %v %v", i, id, name, half, data)
			}
		}
		t.must(rows.Err())
		equal(t, "rows", i, count)
	}},
	{"2,000 columns", func(t *T) {
		db := t.open("results.db")
		defer db.Close()
		columns := make([]string, 2000)
		for i := range columns {
			columns[i] = fmt.Sprintf("%d AS column_%d", i, i)
		}
		row := t.all(db, "SELECT "+strings.Join(columns, ", "))[0]
		equal(t, "columns", len(row), 2000)
		for i, value := range row {
			equal(t, "value", value, int64(i))
		}
	}},
	{"rows of many sizes", func(t *T) {
		db := t.open("results.db")
		defer db.Close()
		rows := t.all(db, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 400) "+
			"SELECT i, zeroblob((i * 7919) % 200000) FROM c")
		equal(t, "rows", len(rows), 400)
		for i, row := range rows {
			equal(t, "length", len(row[1].([]byte)), ((i+1)*7919)%200000)
		}
	}},
	{"a result closed early", func(t *T) {
		conn, done := t.conn("results.db")
		defer done()
		for _, read := range []int{0, 1, 10, 1000} {
			rows, err := conn.QueryContext(t.context(),
				"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000000) SELECT i FROM c")
			t.must(err)
			for i := 0; i < read; i++ {
				if !rows.Next() {
					t.fatalf("ended after %d rows: %v", i, rows.Err())
				}
			}
			t.must(rows.Close())
			equal(t, "goes on", t.scalar(conn, "SELECT 1"), int64(1))
		}
	}},
	{"an error in the first row", func(t *T) {
		conn, done := t.conn("results.db")
		defer done()
		_, err := conn.QueryContext(t.context(), "SELECT abs(-9223372036854775808) AS q")
		t.fails("overflow", err, 1, "integer overflow")
		equal(t, "goes on", t.scalar(conn, "SELECT 1"), int64(1))
	}},
	{"an error in the middle of the first part", func(t *T) {
		conn, done := t.conn("results.db")
		defer done()
		_, err := conn.QueryContext(t.context(),
			"WITH v(x) AS (VALUES (1), (2), (-9223372036854775808)) SELECT abs(x) AS q FROM v")
		t.fails("overflow", err, 1, "integer overflow")
		equal(t, "goes on", t.scalar(conn, "SELECT 1"), int64(1))
	}},
	{"an error after many parts", func(t *T) {
		conn, done := t.conn("results.db")
		defer done()
		rows, err := conn.QueryContext(t.context(),
			"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000) "+
				"SELECT CASE i WHEN 100000 THEN abs(-9223372036854775808) ELSE i END FROM c")
		t.must(err)
		count := 0
		for rows.Next() {
			count++
		}
		if rows.Err() == nil || !strings.Contains(rows.Err().Error(), "integer overflow") {
			t.errorf("after %d rows: %v", count, rows.Err())
		}
		rows.Close()
	}},
	{"text with NUL is refused, not cut", func(t *T) {
		conn, done := t.conn("results.db")
		defer done()
		_, err := conn.QueryContext(t.context(), "SELECT CAST(x'610062' AS TEXT) AS cut")
		t.fails("NUL", err, 1, "cut")
		equal(t, "as a blob", t.scalar(conn, "SELECT CAST(CAST(x'610062' AS TEXT) AS BLOB)"), "a\x00b")
	}},
}
