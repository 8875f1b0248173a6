package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"net"
	"strings"
	"time"
)

// What go-dqlite cannot send: other handshakes, revisions and frames, right and wrong.
var rawChecks = []check{
	{"the legacy handshake", func(t *T) {
		c := t.dial(0x86104dd760433fe5)
		defer c.Close()
		kind, _, body := c.call(t, 0, 0, word(0))
		equal(t, "type", kind, byte(1))
		equal(t, "address", text(body), t.address)
	}},
	{"other handshakes are closed", func(t *T) {
		for _, version := range []uint64{0, 2, 0x86104dd760433fe6} {
			c := t.dial(version)
			c.send(0, 0, word(0))
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
				t.errorf("version %d: %v", version, err)
			}
			c.Close()
		}
	}},
	{"Client is welcomed", func(t *T) {
		c := t.dial(1)
		defer c.Close()
		kind, _, body := c.call(t, 1, 0, word(77))
		equal(t, "type", kind, byte(2))
		equal(t, "timeout", binary.LittleEndian.Uint64(body), uint64(15000))
	}},
	{"Heartbeat and Interrupt are answered", func(t *T) {
		c := t.dial(1)
		defer c.Close()
		c.call(t, 2, 0, word(1))
		kind, _, _ := c.call(t, 10, 0, word(0))
		equal(t, "type", kind, byte(8))
	}},
	{"Cluster in both formats", func(t *T) {
		c := t.dial(1)
		defer c.Close()
		_, _, body := c.call(t, 16, 0, word(0))
		size := len(body)
		_, _, body = c.call(t, 16, 0, word(1))
		equal(t, "the role is one word more", len(body), size+8)
		kind, _, body := c.call(t, 16, 0, word(2))
		equal(t, "type", kind, byte(0))
		equal(t, "code", binary.LittleEndian.Uint64(body), uint64(1005))
	}},
	{"Describe in an unknown format is answered once", func(t *T) {
		c := t.dial(1)
		defer c.Close()
		kind, _, body := c.call(t, 18, 0, word(9))
		equal(t, "type", kind, byte(0))
		equal(t, "code", binary.LittleEndian.Uint64(body), uint64(15))
		kind, _, _ = c.call(t, 18, 0, word(0))
		equal(t, "type", kind, byte(10))
	}},
	{"Promote, the older Assign", func(t *T) {
		c := t.dial(1)
		defer c.Close()
		kind, _, _ := c.call(t, 13, 0, word(2))
		equal(t, "type", kind, byte(0))
	}},
	{"Prepare tells where the next statement begins", func(t *T) {
		c := t.opened("raw.db")
		defer c.Close()
		kind, schema, body := c.call(t, 4, 1, append(word(0), padded("SELECT 1; SELECT 2")...))
		equal(t, "type", kind, byte(5))
		equal(t, "schema", schema, byte(1))
		equal(t, "offset", binary.LittleEndian.Uint64(body[16:]), uint64(9))
	}},
	{"300 parameters in the newer form", func(t *T) {
		c := t.opened("raw.db")
		defer c.Close()
		body := append(word(0), padded("SELECT "+strings.Repeat("? + ", 299)+"?")...)
		tuple := make([]byte, 4+300)
		binary.LittleEndian.PutUint32(tuple, 300)
		for i := 4; i < len(tuple); i++ {
			tuple[i] = 1
		}
		body = append(body, tuple...)
		for len(body)%8 != 0 {
			body = append(body, 0xaa) // padding need not be zero
		}
		for i := 1; i <= 300; i++ {
			body = append(body, word(uint64(i))...)
		}
		kind, _, rows := c.call(t, 9, 1, body)
		equal(t, "type", kind, byte(7))
		// One column, its name, one row.
		equal(t, "sum", binary.LittleEndian.Uint64(rows[len(rows)-16:]), uint64(300*301/2))
	}},
	{"unknown requests and revisions are refused with a reason", func(t *T) {
		c := t.opened("raw.db")
		defer c.Close()
		for _, request := range []struct{ kind, schema byte }{{42, 0}, {255, 0}, {0, 7}, {3, 1}, {9, 2}, {16, 3}} {
			kind, _, _ := c.call(t, request.kind, request.schema, word(0))
			equal(t, fmt.Sprint(request), kind, byte(0))
		}
		kind, _, _ := c.call(t, 0, 0, word(0))
		equal(t, "goes on", kind, byte(1))
	}},
	{"a second Open, and no Open", func(t *T) {
		c := t.opened("raw.db")
		defer c.Close()
		kind, _, body := c.call(t, 3, 0, append(append(padded("other.db"), word(0)...), padded("")...))
		equal(t, "type", kind, byte(0))
		equal(t, "code", binary.LittleEndian.Uint64(body), uint64(5))
		d := t.dial(1)
		defer d.Close()
		kind, _, body = d.call(t, 9, 0, append(word(0), padded("SELECT 1")...))
		equal(t, "type", kind, byte(0))
		equal(t, "code", binary.LittleEndian.Uint64(body), uint64(12))
	}},
	{"Finalize of an unknown statement", func(t *T) {
		c := t.opened("raw.db")
		defer c.Close()
		kind, _, body := c.call(t, 7, 0, word(99<<32))
		equal(t, "type", kind, byte(0))
		equal(t, "code", binary.LittleEndian.Uint64(body), uint64(12))
	}},
	{"one request sent in pieces, many in one", func(t *T) {
		c := t.dial(1)
		defer c.Close()
		frame := framed(0, 0, word(0))
		for _, b := range frame {
			_, err := c.Write([]byte{b})
			t.must(err)
		}
		kind, _, _ := c.receive(t)
		equal(t, "type", kind, byte(1))
		var many []byte
		for i := 0; i < 20; i++ {
			many = append(many, framed(18, 0, word(0))...)
		}
		_, err := c.Write(many)
		t.must(err)
		for i := 0; i < 20; i++ {
			kind, _, _ := c.receive(t)
			equal(t, "type", kind, byte(10))
		}
	}},
	{"wrong frames hurt nobody else", func(t *T) {
		witness := t.opened("raw.db")
		defer witness.Close()
		random := rand.New(rand.NewSource(1))
		for i := 0; i < 300; i++ {
			c := t.dial(1)
			frame := make([]byte, 8+random.Intn(120))
			random.Read(frame)
			if i%3 != 0 {
				// A plausible header around garbage.
				binary.LittleEndian.PutUint32(frame, uint32(len(frame)-8)/8)
				frame[4], frame[5] = byte(random.Intn(21)), byte(random.Intn(2))
			}
			if frame[4] == 19 {
				frame[4] = 20 // not Weight: it would stay
			}
			c.Write(frame)
			if i%2 == 0 {
				c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				io.Copy(io.Discard, c)
			}
			c.Close()
		}
		// A body of no words, a length that never arrives, and one above every limit.
		for _, header := range [][]byte{framed(0, 0, nil), {255, 255, 0, 0, 9, 0, 0, 0}, {255, 255, 255, 255, 9, 0, 0, 0}} {
			c := t.dial(1)
			c.Write(header)
			c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			io.Copy(io.Discard, c)
			c.Close()
		}
		kind, _, _ := witness.call(t, 9, 0, append(word(0), padded("SELECT 1")...))
		equal(t, "type", kind, byte(7))
	}},
	{"text that does not end", func(t *T) {
		c := t.dial(1)
		defer c.Close()
		c.send(3, 0, []byte("endless!"))
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		// Closed, or refused with a failure: silence is wrong.
		header := make([]byte, 8)
		if _, err := io.ReadFull(c, header); err == nil {
			equal(t, "type", header[4], byte(0))
		} else if strings.Contains(err.Error(), "timeout") {
			t.errorf("no answer")
		}
	}},
}

// conn is a connection that speaks frames.
type conn struct{ net.Conn }

func (t *T) dial(version uint64) *conn {
	c, err := net.Dial("tcp", t.address)
	t.must(err)
	_, err = c.Write(word(version))
	t.must(err)
	return &conn{c}
}

// opened has a database open.
func (t *T) opened(name string) *conn {
	c := t.dial(1)
	kind, _, _ := c.call(t, 3, 0, append(append(padded(name), word(0)...), padded("volatile")...))
	equal(t, "Open", kind, byte(4))
	return c
}

func (c *conn) send(kind, schema byte, body []byte) { c.Write(framed(kind, schema, body)) }

func (c *conn) receive(t *T) (kind, schema byte, body []byte) {
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	header := make([]byte, 8)
	if _, err := io.ReadFull(c, header); err != nil {
		t.fatalf("%s: no answer: %v", caller(), err)
	}
	body = make([]byte, 8*binary.LittleEndian.Uint32(header))
	if _, err := io.ReadFull(c, body); err != nil {
		t.fatalf("%s: half an answer: %v", caller(), err)
	}
	return header[4], header[5], body
}

func (c *conn) call(t *T, kind, schema byte, body []byte) (byte, byte, []byte) {
	c.send(kind, schema, body)
	return c.receive(t)
}

func framed(kind, schema byte, body []byte) []byte {
	frame := make([]byte, 8, 8+len(body))
	binary.LittleEndian.PutUint32(frame, uint32(len(body)/8))
	frame[4], frame[5] = kind, schema
	return append(frame, body...)
}

func word(value uint64) []byte {
	bytes := make([]byte, 8)
	binary.LittleEndian.PutUint64(bytes, value)
	return bytes
}

// padded is a text of the dqlite encoding.
func padded(s string) []byte {
	bytes := append([]byte(s), 0)
	for len(bytes)%8 != 0 {
		bytes = append(bytes, 0)
	}
	return bytes
}

// text reads one.
func text(body []byte) string { return strings.TrimRight(string(body), "\x00") }
