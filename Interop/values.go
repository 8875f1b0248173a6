package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"
)

// Parameters and columns of every type, at their extremes.
var valueChecks = []check{
	{"integers", func(t *T) {
		for _, value := range []int64{0, 1, -1, 127, 128, 255, 256, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64} {
			t.roundTrip(value, "integer")
		}
	}},
	{"floats", func(t *T) {
		for _, value := range []float64{
			0, 1.5, -1.5, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.Pi,
		} {
			t.roundTrip(value, "real")
		}
		db := t.open("values.db")
		defer db.Close()
		zero := t.scalar(db, "SELECT ?", math.Copysign(0, -1)).(float64)
		equal(t, "-0.0", zero, 0.0)
		// SQLite stores NaN as NULL.
		equal(t, "NaN", t.scalar(db, "SELECT ?", math.NaN()), nil)
	}},
	{"text", func(t *T) {
		for length := 0; length <= 17; length++ {
			t.roundTrip(strings.Repeat("x", length), "text")
		}
		for _, value := range []string{"grüße, 世界 🎉", "'; DROP TABLE t; --", "line\nline\ttab", strings.Repeat("long ", 200_000)} {
			t.roundTrip(value, "text")
		}
	}},
	{"blobs", func(t *T) {
		for length := 1; length <= 17; length++ {
			t.roundTrip(bytes.Repeat([]byte{0xff}, length), "blob")
		}
		t.roundTrip([]byte{0, 1, 2, 0}, "blob")
		large := make([]byte, 5<<20)
		for i := range large {
			large[i] = byte(i * 7)
		}
		t.roundTrip(large, "blob")
		db := t.open("values.db")
		defer db.Close()
		equal(t, "typeof x''", t.scalar(db, "SELECT typeof(?)", []byte{}), "blob")
		equal(t, "zeroblob", t.scalar(db, "SELECT zeroblob(0)"), "")
	}},
	{"NULL", func(t *T) {
		db := t.open("values.db")
		defer db.Close()
		equal(t, "typeof", t.scalar(db, "SELECT typeof(?)", nil), "null")
		equal(t, "value", t.scalar(db, "SELECT ?", nil), nil)
	}},
	{"booleans", func(t *T) {
		db := t.open("values.db")
		defer db.Close()
		equal(t, "true", t.scalar(db, "SELECT ?", true), int64(1))
		equal(t, "false", t.scalar(db, "SELECT ?", false), int64(0))
	}},
	{"times", func(t *T) {
		db := t.open("values.db")
		defer db.Close()
		zone := time.FixedZone("", 5*3600+1800)
		for _, value := range []time.Time{
			time.Date(2020, 1, 2, 3, 4, 5, 600_000_000, time.UTC),
			time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
			time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, zone),
			time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		} {
			t.exec(db, "CREATE TABLE IF NOT EXISTS moment (at DATETIME)")
			t.exec(db, "DELETE FROM moment")
			t.exec(db, "INSERT INTO moment VALUES (?)", value)
			var got time.Time
			t.must(db.QueryRowContext(t.context(), "SELECT at FROM moment").Scan(&got))
			if !got.Equal(value) {
				t.errorf("got %v, want %v", got, value)
			}
		}
	}},
	{"declared types", func(t *T) {
		db := t.open("declared.db")
		defer db.Close()
		t.exec(db, "CREATE TABLE d (n INTEGER, a DATETIME, b DATE, c TIMESTAMP, e BOOLEAN, f boolean, g TEXT)")
		t.exec(db, "INSERT INTO d VALUES (1, 1577934245, 1577934245, 1577934245, 1, 0, 'x')")
		t.exec(db, "INSERT INTO d VALUES (2, '2020-01-02 03:04:05', '2020-01-02', '2020-01-02T03:04:05Z', 7, 0, 'x')")
		t.exec(db, "INSERT INTO d VALUES (3, NULL, NULL, NULL, NULL, NULL, NULL)")
		t.exec(db, "INSERT INTO d VALUES (4, 1.5, 2.5, 3.5, 0.5, 'maybe', 'x')")
		t.exec(db, "INSERT INTO d VALUES (5, x'01', x'', x'02', x'03', x'04', x'05')")
		moment := time.Unix(1577934245, 0)
		rows := t.all(db, "SELECT a, b, c, e, f, g FROM d ORDER BY n")
		for i := 0; i < 3; i++ {
			if got, ok := rows[0][i].(time.Time); !ok || !got.Equal(moment) {
				t.errorf("seconds in column %d: got %#v", i, rows[0][i])
			}
		}
		equal(t, "BOOLEAN 1", rows[0][3], true)
		equal(t, "boolean 0", rows[0][4], false)
		if got, ok := rows[1][0].(time.Time); !ok || !got.Equal(time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)) {
			t.errorf("text: got %#v", rows[1][0])
		}
		if got, ok := rows[1][1].(time.Time); !ok || !got.Equal(time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC)) {
			t.errorf("date: got %#v", rows[1][1])
		}
		equal(t, "BOOLEAN 7", rows[1][3], true)
		for i, value := range rows[2] {
			if value != nil {
				t.errorf("NULL in column %d: got %#v", i, value)
			}
		}
		equal(t, "REAL in DATETIME", rows[3][0], 1.5)
		equal(t, "REAL in BOOLEAN", rows[3][3], 0.5)
		equal(t, "TEXT in BOOLEAN", fmt.Sprint(rows[3][4]), "maybe")
		equal(t, "BLOB in DATETIME", string(rows[4][0].([]byte)), "\x01")
	}},
	{"names of types", func(t *T) {
		db := t.open("values.db")
		defer db.Close()
		rows, err := db.QueryContext(t.context(), "SELECT 1, 1.5, 'x', x'01', NULL")
		t.must(err)
		defer rows.Close()
		rows.Next()
		types, err := rows.ColumnTypes()
		t.must(err)
		for i, want := range []string{"INTEGER", "FLOAT", "TEXT", "BLOB", "NULL"} {
			equal(t, "type", types[i].DatabaseTypeName(), want)
		}
	}},
	{"numbers of parameters", func(t *T) {
		db := t.open("values.db")
		defer db.Close()
		for _, count := range []int{1, 6, 7, 8, 14, 15, 16, 31, 32, 254, 255} {
			arguments := make([]interface{}, count)
			want := int64(0)
			for i := range arguments {
				arguments[i] = int64(i) + 1
				want += int64(i) + 1
			}
			sum := "SELECT " + strings.Repeat("? + ", count-1) + "?"
			equal(t, fmt.Sprintf("%d parameters", count), t.scalar(db, sum, arguments...), want)
			names := strings.Split(strings.Repeat("?,", count), ",")[:count]
			row := t.all(db, "SELECT "+strings.Join(names, ","), arguments...)[0]
			for i, value := range row {
				equal(t, fmt.Sprintf("%d of %d", i, count), value, int64(i)+1)
			}
		}
	}},
}

// roundTrip sends a value as a parameter, stores it, and reads it back both ways.
func (t *T) roundTrip(value interface{}, typeName string) {
	db := t.open("values.db")
	defer db.Close()
	t.exec(db, "CREATE TABLE IF NOT EXISTS v (x)")
	t.exec(db, "DELETE FROM v")
	t.exec(db, "INSERT INTO v VALUES (?)", value)
	equal(t, "typeof", t.scalar(db, "SELECT typeof(x) FROM v"), typeName)
	for _, query := range []string{"SELECT x FROM v", "SELECT ?"} {
		var got interface{}
		var row *sql.Row
		if strings.Contains(query, "?") {
			row = db.QueryRowContext(t.context(), query, value)
		} else {
			row = db.QueryRowContext(t.context(), query)
		}
		t.must(row.Scan(&got))
		if want, ok := value.([]byte); ok {
			if gotBytes, ok := got.([]byte); !ok || !bytes.Equal(gotBytes, want) {
				t.errorf("%s: a blob of %d bytes came back otherwise", query, len(want))
			}
		} else if text, ok := got.([]byte); ok {
			equal(t, query, string(text), value)
		} else {
			equal(t, query, got, value)
		}
	}
}

// all reads all rows of a query.
func (t *T) all(db executor, query string, arguments ...interface{}) [][]interface{} {
	rows, err := db.QueryContext(t.context(), query, arguments...)
	if err != nil {
		t.fatalf("%s: %v", abbreviated(query), err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	t.must(err)
	var all [][]interface{}
	for rows.Next() {
		row := make([]interface{}, len(columns))
		pointers := make([]interface{}, len(columns))
		for i := range row {
			pointers[i] = &row[i]
		}
		t.must(rows.Scan(pointers...))
		all = append(all, row)
	}
	t.must(rows.Err())
	return all
}
