package main

import (
	"bytes"
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/canonical/go-dqlite/client"
	"github.com/canonical/go-dqlite/driver"
)

// A cluster of three nodes, then of four. Each check goes on where the one before it ended.
var clusterChecks = []check{
	{"three nodes become a cluster", func(t *T) {
		first := t.start(1)
		second := t.start(2, "--join", first.address)
		t.start(3, "--join", second.address+","+first.address)
		t.members(map[uint64]client.NodeRole{1: client.Voter, 2: client.Voter, 3: client.Voter})
	}},
	{"Leader and Cluster: every node says the same", func(t *T) {
		leader, c := t.leader()
		c.Close()
		for _, n := range t.cluster.nodes {
			c := t.clientOf(n)
			defer c.Close()
			t.eventually("Leader", func(ctx context.Context) error {
				info, err := c.Leader(ctx)
				if err == nil && (info.ID != leader.id || info.Address != leader.address) {
					err = fmt.Errorf("%v", info)
				}
				return err
			})
		}
	}},
	{"FindLeader goes where a follower points", func(t *T) {
		leader, c := t.leader()
		c.Close()
		for _, n := range t.followers() {
			store := client.NewInmemNodeStore()
			t.must(store.Set(t.context(), []client.NodeInfo{{ID: n.id, Address: n.address}}))
			c, err := client.FindLeader(t.context(), store)
			t.must(err)
			defer c.Close()
			info, err := c.Leader(t.context())
			t.must(err)
			equal(t, "leader", info.ID, leader.id)
		}
	}},
	{"Describe and Weight of each node", func(t *T) {
		for _, n := range t.cluster.nodes {
			c := t.clientOf(n)
			defer c.Close()
			t.must(c.Weight(t.context(), 10+n.id))
		}
		for _, n := range t.cluster.nodes {
			c := t.clientOf(n)
			defer c.Close()
			metadata, err := c.Describe(t.context())
			t.must(err)
			equal(t, "weight", metadata.Weight, 10+n.id)
		}
	}},
	{"what only the leader can do is refused by the others", func(t *T) {
		for _, n := range t.followers() {
			c := t.clientOf(n)
			defer c.Close()
			for name, err := range map[string]error{
				"add":      c.Add(t.context(), client.NodeInfo{ID: 9, Address: "127.0.0.1:1", Role: client.Spare}),
				"assign":   c.Assign(t.context(), 1, client.StandBy),
				"remove":   c.Remove(t.context(), 1),
				"transfer": c.Transfer(t.context(), n.id),
			} {
				if err == nil || !strings.Contains(err.Error(), "(10250)") {
					t.errorf("%s: %v", name, err)
				}
			}
		}
	}},
	{"the driver finds the leader", func(t *T) {
		db := t.open("cluster.db")
		defer db.Close()
		t.exec(db, "CREATE TABLE entry (id INTEGER PRIMARY KEY, note TEXT)")
		for i := 0; i < 100; i++ {
			t.exec(db, "INSERT INTO entry (note) VALUES (?)", fmt.Sprint(i))
		}
		equal(t, "count", t.scalar(db, "SELECT count(*) FROM entry"), int64(100))
	}},
	{"Transfer to each node, while the driver goes on", func(t *T) {
		db := t.open("cluster.db")
		defer db.Close()
		for _, id := range []uint64{1, 2, 3, 1} {
			t.exec(db, "DELETE FROM entry WHERE id = -1") // the pool has a connection to the leader
			t.transfer(id)
			leader, c := t.leader()
			c.Close()
			equal(t, "leader", leader.id, id)
			// Nothing is in doubt, so the driver itself tries again.
			t.exec(db, "INSERT INTO entry (note) VALUES ('after a transfer')")
		}
		equal(t, "count", t.scalar(db, "SELECT count(*) FROM entry WHERE note = 'after a transfer'"), int64(4))
	}},
	{"a transaction that a transfer interrupts", func(t *T) {
		t.interrupted("a transfer", func() {
			leader, c := t.leader()
			c.Close()
			t.transfer(leader.id%3 + 1)
		})
	}},
	{"a transaction that the death of the leader interrupts", func(t *T) {
		var dead *node
		t.interrupted("a death", func() {
			leader, c := t.leader()
			c.Close()
			leader.kill()
			dead = leader
		})
		t.start(dead.id)
	}},
	{"a transaction of a client that goes away is left to nobody", func(t *T) {
		db := t.open("cluster.db")
		defer db.Close()
		conn, err := db.Conn(t.context())
		t.must(err)
		t.exec(conn, "BEGIN IMMEDIATE")
		t.exec(conn, "INSERT INTO entry (note) VALUES ('left over')")
		// The connection is closed without another word.
		t.must(conn.Raw(func(c interface{}) error { return c.(sqldriver.Conn).Close() }))
		t.exec(db, "INSERT INTO entry (note) VALUES ('another')")
		equal(t, "left over", t.scalar(db, "SELECT count(*) FROM entry WHERE note = 'left over'"), int64(0))
	}},
	{"fail-over: four writers go on when the leader is killed, three times", (*T).failOver},
	{"Add, Assign and Remove of a fourth node", func(t *T) {
		fourth := t.start(4)
		leader, c := t.leader()
		defer c.Close()
		voters := map[uint64]client.NodeRole{1: client.Voter, 2: client.Voter, 3: client.Voter}
		with := func(role client.NodeRole) map[uint64]client.NodeRole {
			return map[uint64]client.NodeRole{1: client.Voter, 2: client.Voter, 3: client.Voter, 4: role}
		}
		t.must(c.Add(t.context(), client.NodeInfo{ID: 4, Address: fourth.address, Role: client.Spare}))
		t.members(with(client.Spare))
		if err := c.Add(t.context(), client.NodeInfo{ID: 4, Address: fourth.address, Role: client.Spare}); err == nil {
			t.errorf("it was added again")
		}
		t.must(c.Assign(t.context(), 4, client.StandBy))
		t.members(with(client.StandBy))
		t.sameBytes("cluster.db")
		t.must(c.Assign(t.context(), 4, client.Voter))
		t.members(with(client.Voter))
		t.must(c.Transfer(t.context(), 4))
		found, led := t.leader()
		equal(t, "leader", found.id, uint64(4))
		db := t.open("cluster.db")
		defer db.Close()
		t.exec(db, "INSERT INTO entry (note) VALUES ('led by the fourth')")
		t.must(led.Transfer(t.context(), leader.id))
		led.Close()
		_, c = t.leader()
		defer c.Close()
		t.must(c.Assign(t.context(), 4, client.StandBy))
		t.must(c.Remove(t.context(), 4))
		t.members(voters)
		for name, err := range map[string]error{
			"assign": c.Assign(t.context(), 4, client.Voter), "remove": c.Remove(t.context(), 4),
		} {
			if err == nil {
				t.errorf("%s of a node that is not there succeeded", name)
			}
		}
		t.stop(fourth)
		equal(t, "count", t.scalar(db, "SELECT count(*) FROM entry WHERE note = 'led by the fourth'"), int64(1))
	}},
	{"Dump of each node gives the same bytes", func(t *T) {
		files := t.sameBytes("cluster.db")
		sqlite, err := exec.LookPath("sqlite3")
		if err != nil {
			return
		}
		path := filepath.Join(t.cluster.directory, "dump.db")
		t.must(os.WriteFile(path, files[0].Data, 0o600))
		output, err := exec.Command(sqlite, path, "PRAGMA integrity_check").CombinedOutput()
		t.must(err)
		equal(t, "sqlite3", string(output), "ok\n")
	}},
	{"all stop, and start again without being told of each other", func(t *T) {
		db := t.open("cluster.db")
		count := t.scalar(db, "SELECT count(*) FROM entry")
		db.Close()
		t.stop(t.cluster.nodes...)
		for id := uint64(1); id <= 3; id++ {
			t.start(id)
		}
		t.members(map[uint64]client.NodeRole{1: client.Voter, 2: client.Voter, 3: client.Voter})
		db = t.open("cluster.db")
		defer db.Close()
		equal(t, "count", t.scalar(db, "SELECT count(*) FROM entry"), count)
		t.sameBytes("cluster.db")
		t.stop(t.cluster.nodes...)
	}},
}

// members waits until the leader, and every voter, names these members and no others.
func (t *T) members(want map[uint64]client.NodeRole) {
	t.eventually(fmt.Sprintf("members %v", want), func(ctx context.Context) error {
		c, err := client.FindLeader(ctx, t.store())
		if err != nil {
			return err
		}
		defer c.Close()
		servers, err := c.Cluster(ctx)
		if err != nil {
			return err
		}
		for _, server := range servers {
			role, isMember := want[server.ID]
			if !isMember || role != server.Role || server.Address != t.cluster.node(server.ID).address {
				return fmt.Errorf("%v", servers)
			}
		}
		if len(servers) != len(want) {
			return fmt.Errorf("%v", servers)
		}
		return nil
	})
}

// transfer hands leadership to a node, unless it has it.
func (t *T) transfer(id uint64) {
	leader, c := t.leader()
	defer c.Close()
	if leader.id != id {
		t.must(c.Transfer(t.context(), id))
	}
}

// interrupted begins a transaction, lets something happen to the leader, and does the transaction again.
func (t *T) interrupted(note string, happen func()) {
	db := t.open("cluster.db")
	defer db.Close()
	tx, err := db.BeginTx(t.context(), nil)
	t.must(err)
	t.exec(tx, "INSERT INTO entry (note) VALUES (?)", note)
	happen()
	_, err = tx.ExecContext(t.context(), "INSERT INTO entry (note) VALUES (?)", note)
	if err == nil {
		err = tx.Commit()
	} else {
		tx.Rollback()
	}
	if !isAboutLeader(err) {
		t.errorf("the transaction that was interrupted: got %#v", err)
	}
	t.again(func(ctx context.Context) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		for i := 0; i < 2; i++ {
			if _, err := tx.ExecContext(ctx, "INSERT INTO entry (note) VALUES (?)", note); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
	equal(t, "rows", t.scalar(db, "SELECT count(*) FROM entry WHERE note = ?", note), int64(2))
}

// isAboutLeader says whether the driver reports that the connection to the leader is gone: ErrBadConn, or what this
// version of go-dqlite lets through, the end of the connection.
func isAboutLeader(err error) bool {
	var network net.Error
	return errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, driver.ErrNoAvailableLeader) ||
		errors.As(err, &network) || (err != nil && strings.HasSuffix(err.Error(), "EOF"))
}

// again tries until it succeeds. Only failures that are about the leader may come before.
func (t *T) again(do func(ctx context.Context) error) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := attempt(do)
		if err == nil {
			return
		}
		if !isAboutLeader(err) || time.Now().After(deadline) {
			t.fatalf("%s: %v", caller(), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func attempt(do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return do(ctx)
}

// failOver lets writers insert while leaders die. A row that is in doubt is inserted again under the same key, so every one
// has to be there, once.
func (t *T) failOver() {
	db := t.open("cluster.db")
	defer db.Close()
	t.exec(db, "CREATE TABLE work (writer INTEGER, number INTEGER, PRIMARY KEY (writer, number))")
	const writers = 4
	type result struct {
		count int64
		err   error
	}
	results := make(chan result, writers)
	done := make(chan struct{})
	for writer := 0; writer < writers; writer++ {
		go func(writer int) {
			count, err := work(db, writer, done)
			results <- result{count, err}
		}(writer)
	}
	for i := 0; i < 3; i++ {
		time.Sleep(500 * time.Millisecond)
		leader, c := t.leader()
		c.Close()
		before := t.scalar(db, "SELECT count(*) FROM work").(int64)
		leader.kill()
		t.eventually("rows after the death", func(ctx context.Context) error {
			var count int64
			err := db.QueryRowContext(ctx, "SELECT count(*) FROM work").Scan(&count)
			if err == nil && count < before+2*writers {
				err = fmt.Errorf("%d rows after %d", count, before)
			}
			return err
		})
		t.start(leader.id)
	}
	close(done)
	var total int64
	for writer := 0; writer < writers; writer++ {
		r := <-results
		total += r.count
		if r.err != nil {
			t.errorf("a writer: %v", r.err)
		}
	}
	equal(t, "rows", t.scalar(db, "SELECT count(*) FROM work"), total)
}

// work inserts rows until it is done, and counts those that are there.
func work(db *sql.DB, writer int, done chan struct{}) (count int64, err error) {
	for number := 0; ; number++ {
		select {
		case <-done:
			return count, nil
		default:
		}
		deadline := time.Now().Add(30 * time.Second)
		for {
			err = attempt(func(ctx context.Context) error {
				_, err := db.ExecContext(ctx, "INSERT OR IGNORE INTO work VALUES (?, ?)", writer, number)
				return err
			})
			if err == nil {
				break
			}
			if !isAboutLeader(err) || time.Now().After(deadline) {
				return count, err
			}
			time.Sleep(10 * time.Millisecond)
		}
		count++
		time.Sleep(2 * time.Millisecond)
	}
}

// sameBytes waits until every node that runs gives the same bytes for a database.
func (t *T) sameBytes(database string) []client.File {
	var first []client.File
	t.eventually("the same bytes", func(ctx context.Context) error {
		first = nil
		for _, n := range t.cluster.nodes {
			if n.command == nil {
				continue
			}
			c, err := client.New(ctx, n.address)
			if err != nil {
				return err
			}
			files, err := c.Dump(ctx, database)
			c.Close()
			if err != nil {
				return fmt.Errorf("node %d: %w", n.id, err)
			}
			if first == nil {
				first = files
			}
			for i, file := range files {
				if len(files) != len(first) || file.Name != first[i].Name || !bytes.Equal(file.Data, first[i].Data) {
					return fmt.Errorf("node %d has others", n.id)
				}
			}
		}
		return nil
	})
	return first
}
