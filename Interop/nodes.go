package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/canonical/go-dqlite/client"
)

// node is a node in a process of its own. It keeps its address.
type node struct {
	id      uint64
	address string
	command *exec.Cmd // nil: it does not run
}

// cluster is what the checks of a cluster share.
type cluster struct {
	binary    string
	directory string
	nodes     []*node
}

// node gives the node with that id, which need not run.
func (c *cluster) node(id uint64) *node {
	for _, n := range c.nodes {
		if n.id == id {
			return n
		}
	}
	n := &node{id: id, address: fmt.Sprintf("127.0.0.1:%d", reservedPort())}
	c.nodes = append(c.nodes, n)
	return n
}

// infos names the nodes that run.
func (c *cluster) infos() []client.NodeInfo {
	var infos []client.NodeInfo
	for _, n := range c.nodes {
		if n.command != nil {
			infos = append(infos, client.NodeInfo{ID: n.id, Address: n.address})
		}
	}
	return infos
}

// start starts a node and waits until it serves.
func (t *T) start(id uint64, arguments ...string) *node {
	n := t.cluster.node(id)
	directory := filepath.Join(t.cluster.directory, fmt.Sprint(id))
	command := exec.Command(t.cluster.binary, append([]string{
		"node", "--id", fmt.Sprint(id), "--address", n.address, "--data-dir", directory}, arguments...)...)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := command.StdoutPipe()
	t.must(err)
	t.must(command.Start())
	n.command = command
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(output).ReadString('\n')
		line <- text
	}()
	select {
	case text := <-line:
		if !strings.HasPrefix(text, "READY ") {
			n.kill()
			t.fatalf("node %d printed %q", id, text)
		}
	case <-time.After(60 * time.Second):
		n.kill()
		t.fatalf("node %d was not ready after a minute", id)
	}
	return n
}

// kill ends a node with nothing that it could still do.
func (n *node) kill() {
	if n.command == nil {
		return
	}
	n.command.Process.Kill()
	n.command.Wait()
	n.command = nil
}

// stop asks nodes to end, all at once, and waits until they have.
func (t *T) stop(nodes ...*node) {
	for _, n := range nodes {
		if n.command != nil {
			n.command.Process.Signal(syscall.SIGTERM)
		}
	}
	for _, n := range nodes {
		if n.command == nil {
			continue
		}
		timer := time.AfterFunc(60*time.Second, func() { n.command.Process.Kill() })
		if err := n.command.Wait(); err != nil {
			t.errorf("node %d: %v", n.id, err)
		}
		timer.Stop()
		n.command = nil
	}
}

func (c *cluster) killAll() {
	for _, n := range c.nodes {
		n.kill()
	}
}

// leader finds the leader, and gives a client of it.
func (t *T) leader() (*node, *client.Client) {
	c, err := client.FindLeader(t.context(), t.store())
	t.must(err)
	info, err := c.Leader(t.context())
	t.must(err)
	return t.cluster.node(info.ID), c
}

// followers gives the nodes that run and do not lead.
func (t *T) followers() []*node {
	leader, c := t.leader()
	c.Close()
	var followers []*node
	for _, n := range t.cluster.nodes {
		if n != leader && n.command != nil {
			followers = append(followers, n)
		}
	}
	return followers
}

// client of a node, whoever leads.
func (t *T) clientOf(n *node) *client.Client {
	c, err := client.New(t.context(), n.address)
	t.must(err)
	return c
}

// eventually waits until something is so.
func (t *T) eventually(what string, isSo func(ctx context.Context) error) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := isSo(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.fatalf("%s: %s: not within 30 seconds: %v", caller(), what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// reservedPort gives a port that nobody else gets as long as this program runs: it is bound here, and never listened on.
func reservedPort() int {
	descriptor, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Bind(descriptor, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		// Linux lets another socket listen beside it, when both say this.
		err = syscall.SetsockoptInt(descriptor, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	}
	if err != nil {
		panic(err)
	}
	address, err := syscall.Getsockname(descriptor)
	if err != nil {
		panic(err)
	}
	return address.(*syscall.SockaddrInet4).Port
}
