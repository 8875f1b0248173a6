package main

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

// Transactions, and writers beside one another.
var transactionChecks = []check{
	{"commit", func(t *T) {
		db := t.accounts()
		defer db.Close()
		tx, err := db.BeginTx(t.context(), nil)
		t.must(err)
		t.exec(tx, "UPDATE account SET balance = balance - 10 WHERE id = 1")
		t.exec(tx, "UPDATE account SET balance = balance + 10 WHERE id = 2")
		equal(t, "outside", t.scalar(db, "SELECT balance FROM account WHERE id = 1"), int64(100))
		equal(t, "inside", t.scalar(tx, "SELECT balance FROM account WHERE id = 1"), int64(90))
		t.must(tx.Commit())
		equal(t, "after", t.scalar(db, "SELECT balance FROM account WHERE id = 1"), int64(90))
		equal(t, "sum", t.scalar(db, "SELECT sum(balance) FROM account"), int64(200))
	}},
	{"rollback", func(t *T) {
		db := t.accounts()
		defer db.Close()
		tx, err := db.BeginTx(t.context(), nil)
		t.must(err)
		t.exec(tx, "DELETE FROM account")
		t.must(tx.Rollback())
		equal(t, "count", t.scalar(db, "SELECT count(*) FROM account"), int64(2))
	}},
	{"savepoints", func(t *T) {
		conn, done := t.conn("transactions.db")
		defer done()
		t.exec(conn, "DROP TABLE IF EXISTS s; CREATE TABLE s (x)")
		t.exec(conn, "BEGIN")
		t.exec(conn, "INSERT INTO s VALUES (1)")
		t.exec(conn, "SAVEPOINT a")
		t.exec(conn, "INSERT INTO s VALUES (2)")
		t.exec(conn, "ROLLBACK TO a")
		t.exec(conn, "INSERT INTO s VALUES (3)")
		t.exec(conn, "COMMIT")
		equal(t, "sum", t.scalar(conn, "SELECT sum(x) FROM s"), int64(4))
	}},
	{"a writer waits for the one before", func(t *T) {
		db := t.accounts()
		defer db.Close()
		first, done := t.conn("transactions.db")
		defer done()
		t.exec(first, "BEGIN IMMEDIATE")
		t.exec(first, "UPDATE account SET balance = balance + 1 WHERE id = 1")
		waited := make(chan error)
		go func() {
			_, err := db.ExecContext(context.Background(), "UPDATE account SET balance = balance * 2 WHERE id = 1")
			waited <- err
		}()
		// The reader does not wait, and sees what is committed.
		equal(t, "reader", t.scalar(db, "SELECT balance FROM account WHERE id = 1"), int64(100))
		select {
		case err := <-waited:
			t.errorf("the second writer did not wait: %v", err)
		default:
		}
		t.exec(first, "COMMIT")
		t.must(<-waited)
		equal(t, "in order", t.scalar(db, "SELECT balance FROM account WHERE id = 1"), int64(202))
	}},
	{"a connection that goes away frees its turn", func(t *T) {
		db := t.accounts()
		defer db.Close()
		first, done := t.conn("transactions.db")
		t.exec(first, "BEGIN IMMEDIATE")
		t.exec(first, "DELETE FROM account")
		done()
		began := time.Now()
		t.exec(db, "UPDATE account SET balance = 5 WHERE id = 1")
		if elapsed := time.Since(began); elapsed > 2*time.Second {
			t.errorf("took %v", elapsed)
		}
		equal(t, "rolled back", t.scalar(db, "SELECT count(*) FROM account"), int64(2))
	}},
	{"sixteen writers, none of which sees a lock", func(t *T) {
		db := t.accounts()
		defer db.Close()
		var group sync.WaitGroup
		failures := make(chan error, 16)
		for i := 0; i < 16; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for j := 0; j < 25; j++ {
					if _, err := db.ExecContext(context.Background(), "UPDATE account SET balance = balance + 1 WHERE id = 1"); err != nil {
						failures <- err
						return
					}
				}
			}()
		}
		group.Wait()
		close(failures)
		for err := range failures {
			t.errorf("%v", err)
		}
		equal(t, "balance", t.scalar(db, "SELECT balance FROM account WHERE id = 1"), int64(500))
	}},
	{"a snapshot that became old", func(t *T) {
		db := t.accounts()
		defer db.Close()
		conn, done := t.conn("transactions.db")
		defer done()
		t.exec(conn, "BEGIN")
		equal(t, "read", t.scalar(conn, "SELECT balance FROM account WHERE id = 1"), int64(100))
		t.exec(db, "UPDATE account SET balance = 1 WHERE id = 1")
		equal(t, "stable", t.scalar(conn, "SELECT balance FROM account WHERE id = 1"), int64(100))
		_, err := conn.ExecContext(t.context(), "UPDATE account SET balance = 2 WHERE id = 1")
		t.fails("write", err, 517, "BEGIN IMMEDIATE")
		t.exec(conn, "ROLLBACK")
		t.exec(conn, "UPDATE account SET balance = 2 WHERE id = 1")
	}},
	{"a pool of connections", func(t *T) {
		db := t.accounts()
		defer db.Close()
		db.SetMaxOpenConns(8)
		var group sync.WaitGroup
		var mutex sync.Mutex
		for i := 0; i < 32; i++ {
			group.Add(1)
			go func(i int) {
				defer group.Done()
				var got int64
				err := db.QueryRowContext(context.Background(), "SELECT ? * 2", i).Scan(&got)
				mutex.Lock()
				defer mutex.Unlock()
				if err != nil || got != int64(i)*2 {
					t.errorf("%d: %d, %v", i, got, err)
				}
			}(i)
		}
		group.Wait()
	}},
}

// accounts gives a pool on a fresh table of two accounts with 100 each.
func (t *T) accounts() *sql.DB {
	db := t.open("transactions.db")
	t.exec(db, "DROP TABLE IF EXISTS account")
	t.exec(db, "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)")
	for id := 1; id <= 2; id++ {
		t.exec(db, fmt.Sprintf("INSERT INTO account VALUES (%d, 100)", id))
	}
	return db
}
