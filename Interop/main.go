// Interop drives a node with Canonical's go-dqlite, unmodified: its client and its database/sql driver, and raw sockets for
// what those cannot send.
//
// Usage: interop HOST:PORT [restarted]
//
//	interop cluster DQLITE DIRECTORY
//
// With `restarted` it checks that what an earlier run wrote is still there. With `cluster` it starts nodes itself, from that
// binary and with their data in that directory, and drives them as a cluster.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/canonical/go-dqlite/client"
	"github.com/canonical/go-dqlite/driver"
)

// A check is one thing that must hold.
type check struct {
	name string
	run  func(t *T)
}

// T collects what a check finds wrong.
type T struct {
	address  string   // that of the node
	cluster  *cluster // nil for checks of one node
	failures []string
}

func (t *T) errorf(format string, arguments ...interface{}) {
	t.failures = append(t.failures, fmt.Sprintf(format, arguments...))
}

type stop struct{}

// fatalf ends the check.
func (t *T) fatalf(format string, arguments ...interface{}) {
	t.errorf(format, arguments...)
	panic(stop{})
}

// must ends the check when err is not nil.
func (t *T) must(err error) {
	if err != nil {
		t.fatalf("%s: %v", caller(), err)
	}
}

// caller tells the line of the check that asked.
func caller() string {
	for _, line := range strings.Split(string(debug.Stack()), "\n") {
		if strings.Contains(line, "/Interop/") && !strings.Contains(line, "/main.go:") {
			return strings.TrimSpace(line[strings.LastIndex(line, "/")+1:])
		}
	}
	return ""
}

func equal(t *T, what string, got, want interface{}) {
	if got != want {
		t.errorf("%s: got %#v (%T), want %#v (%T)", what, got, got, want, want)
	}
}

// context gives every check a limit of its own.
func (t *T) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	_ = cancel // the process outlives no check by long
	return ctx
}

var drivers = 0

// open gives a pool on a database of the node, or of the cluster.
func (t *T) open(name string) *sql.DB {
	d, err := driver.New(t.store())
	t.must(err)
	drivers++
	registered := fmt.Sprintf("dqlite-%d", drivers)
	sql.Register(registered, d)
	db, err := sql.Open(registered, name)
	t.must(err)
	return db
}

// store names the node, or all nodes that run.
func (t *T) store() client.NodeStore {
	nodes := []client.NodeInfo{{ID: 1, Address: t.address}}
	if t.cluster != nil {
		nodes = t.cluster.infos()
	}
	store := client.NewInmemNodeStore()
	t.must(store.Set(context.Background(), nodes))
	return store
}

// exec runs SQL that must succeed.
func (t *T) exec(db executor, query string, arguments ...interface{}) sql.Result {
	result, err := db.ExecContext(t.context(), query, arguments...)
	if err != nil {
		t.fatalf("%s: %s: %v", caller(), abbreviated(query), err)
	}
	return result
}

// scalar runs a query that must return one value.
func (t *T) scalar(db executor, query string, arguments ...interface{}) interface{} {
	var value interface{}
	if err := db.QueryRowContext(t.context(), query, arguments...).Scan(&value); err != nil {
		t.fatalf("%s: %s: %v", caller(), abbreviated(query), err)
	}
	if bytes, ok := value.([]byte); ok {
		return string(bytes)
	}
	return value
}

// fails checks that an error is a failure of the node with that code, whose message contains the text.
func (t *T) fails(what string, err error, code int, text string) {
	var failure driver.Error
	if !errors.As(err, &failure) {
		t.errorf("%s: got %#v, want a failure with code %d", what, err, code)
		return
	}
	if failure.Code != code || !strings.Contains(failure.Message, text) {
		t.errorf("%s: got %d %q, want %d with %q", what, failure.Code, failure.Message, code, text)
	}
}

// executor is what sql.DB, sql.Conn and sql.Tx share.
type executor interface {
	ExecContext(context.Context, string, ...interface{}) (sql.Result, error)
	QueryContext(context.Context, string, ...interface{}) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...interface{}) *sql.Row
}

func abbreviated(query string) string {
	if len(query) > 80 {
		return query[:80] + "..."
	}
	return query
}

func main() {
	switch {
	case len(os.Args) == 2:
		checks := concat(
			requestChecks, valueChecks, statementChecks, transactionChecks, errorChecks, resultChecks, rawChecks)
		os.Exit(run(checks, T{address: os.Args[1]}))
	case len(os.Args) == 3 && os.Args[2] == "restarted":
		os.Exit(run(restartChecks, T{address: os.Args[1]}))
	case len(os.Args) == 4 && os.Args[1] == "cluster":
		// The nodes end with the thread that started them, however this program ends.
		runtime.LockOSThread()
		c := &cluster{binary: os.Args[2], directory: os.Args[3]}
		status := run(clusterChecks, T{cluster: c})
		c.killAll()
		os.Exit(status)
	default:
		fmt.Fprintln(os.Stderr, "usage: interop HOST:PORT [restarted]\n       interop cluster DQLITE DIRECTORY")
		os.Exit(2)
	}
}

// run goes through the checks, and returns the status to exit with.
func run(checks []check, context T) int {
	passed, failed := 0, 0
	for _, c := range checks {
		began := time.Now()
		t := context
		func() {
			defer func() {
				if r := recover(); r != nil {
					if _, ok := r.(stop); !ok {
						t.errorf("panic: %v\n%s", r, debug.Stack())
					}
				}
			}()
			c.run(&t)
		}()
		elapsed := time.Since(began).Round(time.Millisecond)
		if len(t.failures) == 0 {
			passed++
			fmt.Printf("ok   %s (%v)\n", c.name, elapsed)
		} else {
			failed++
			for _, failure := range t.failures {
				fmt.Printf("FAIL %s: %s\n", c.name, failure)
			}
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return 1
	}
	return 0
}

func concat(groups ...[]check) []check {
	var all []check
	for _, group := range groups {
		all = append(all, group...)
	}
	return all
}
