package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/canonical/go-dqlite/client"
)

// What the client package can ask of a node.
var requestChecks = []check{
	{"Leader", func(t *T) {
		c := t.client()
		defer c.Close()
		leader, err := c.Leader(t.context())
		t.must(err)
		equal(t, "id", leader.ID, uint64(1))
		equal(t, "address", leader.Address, t.address)
	}},
	{"FindLeader", func(t *T) {
		store := client.NewInmemNodeStore()
		t.must(store.Set(context.Background(), []client.NodeInfo{{ID: 1, Address: t.address}}))
		c, err := client.FindLeader(t.context(), store)
		t.must(err)
		defer c.Close()
		_, err = c.Cluster(t.context())
		t.must(err)
	}},
	{"Cluster", func(t *T) {
		c := t.client()
		defer c.Close()
		nodes, err := c.Cluster(t.context())
		t.must(err)
		equal(t, "count", len(nodes), 1)
		equal(t, "node", nodes[0], client.NodeInfo{ID: 1, Address: t.address, Role: client.Voter})
	}},
	{"Describe and Weight", func(t *T) {
		c := t.client()
		defer c.Close()
		for _, weight := range []uint64{7, 1 << 40, 0} {
			t.must(c.Weight(t.context(), weight))
			metadata, err := c.Describe(t.context())
			t.must(err)
			equal(t, "weight", metadata.Weight, weight)
			equal(t, "failure domain", metadata.FailureDomain, uint64(0))
		}
	}},
	{"Add, Assign, Remove and Transfer of a node that is not there", func(t *T) {
		c := t.client()
		defer c.Close()
		absent := client.NodeInfo{ID: 2, Address: "127.0.0.1:1", Role: client.Spare}
		t.must(c.Add(t.context(), absent))
		nodes, err := c.Cluster(t.context())
		t.must(err)
		equal(t, "count", len(nodes), 2)
		t.must(c.Assign(t.context(), 2, client.StandBy))
		t.must(c.Remove(t.context(), 2))
		// Each is answered with a reason, and the connection goes on.
		for name, err := range map[string]error{
			"assign":   c.Assign(t.context(), 2, client.StandBy),
			"remove":   c.Remove(t.context(), 2),
			"remove 1": c.Remove(t.context(), 1),
			"transfer": c.Transfer(t.context(), 2),
		} {
			if err == nil {
				t.errorf("%s succeeded", name)
			} else if strings.Contains(err.Error(), "EOF") || strings.Contains(err.Error(), "reset") {
				t.errorf("%s: %v", name, err)
			}
		}
		_, err = c.Leader(t.context())
		t.must(err)
	}},
	{"Dump", func(t *T) {
		db := t.open("dump.db")
		defer db.Close()
		t.exec(db, "DROP TABLE IF EXISTS t; CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB)")
		t.exec(db, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 500) "+
			"INSERT INTO t SELECT i, randomblob(1000) FROM c")
		c := t.client()
		defer c.Close()
		files, err := c.Dump(t.context(), "dump.db")
		t.must(err)
		equal(t, "files", len(files), 2)
		equal(t, "name", files[0].Name, "dump.db")
		equal(t, "name", files[1].Name, "dump.db-wal")
		equal(t, "WAL", len(files[1].Data), 0)
		if !bytes.HasPrefix(files[0].Data, []byte("SQLite format 3\x00")) || len(files[0].Data) < 500*1000 {
			t.fatalf("not a database: %d bytes", len(files[0].Data))
		}
		sqlite, err := exec.LookPath("sqlite3")
		if err != nil {
			return
		}
		directory, err := os.MkdirTemp("", "interop")
		t.must(err)
		defer os.RemoveAll(directory)
		path := filepath.Join(directory, "dump.db")
		t.must(os.WriteFile(path, files[0].Data, 0o600))
		output, err := exec.Command(sqlite, path, "PRAGMA integrity_check; SELECT count(*), max(x) FROM t").CombinedOutput()
		t.must(err)
		equal(t, "sqlite3", string(output), "ok\n500|500\n")
	}},
	{"Dump of an unknown database", func(t *T) {
		c := t.client()
		defer c.Close()
		_, err := c.Dump(t.context(), "nowhere.db")
		if err == nil {
			t.errorf("succeeded")
		}
		_, err = c.Leader(t.context())
		t.must(err)
	}},
	{"an unreachable node is an error, not a hang", func(t *T) {
		_, err := client.New(t.context(), "127.0.0.1:1")
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.errorf("got %v", err)
		}
	}},
}

func (t *T) client() *client.Client {
	c, err := client.New(t.context(), t.address)
	t.must(err)
	return c
}
