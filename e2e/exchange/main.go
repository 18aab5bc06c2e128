// Package main makes one whole exchange with host:port, for pods of tests. A connection that comes about tells nothing
// where a proxy takes every connection; so something is asked, and only an answer counts.
//
// It ends with 0 when there was one. Otherwise it says on standard error what there was instead: DNS, REFUSED, TIMEOUT,
// CLOSED (the connection ended without a byte) or DENIED (a proxy's 403 or 503), and ends with 1.
package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

func main() {
	timeout := flag.Duration("timeout", 2*time.Second, "for the whole exchange")
	secure := flag.Bool("tls", false, "an answer is a finished handshake, of whoever's certificate")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: exchange [-timeout 2s] [-tls] HOST:PORT")
		os.Exit(2)
	}
	if word, err := exchange(flag.Arg(0), *timeout, *secure); word != "" {
		fmt.Fprintln(os.Stderr, word, err)
		os.Exit(1)
	}
}

// exchange returns "" when there was an answer.
func exchange(address string, timeout time.Duration, secure bool) (string, error) {
	deadline := time.Now().Add(timeout)
	connection, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return word(err), err
	}
	defer connection.Close()
	if err := connection.SetDeadline(deadline); err != nil {
		return word(err), err
	}
	if secure {
		if err := tls.Client(connection, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
			return word(err), err
		}
		return "", nil
	}
	host, _, _ := net.SplitHostPort(address)
	if _, err := fmt.Fprintf(connection, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host); err != nil {
		return word(err), err
	}
	// "HTTP/1.1 403" is as much as it takes to know.
	heard, err := io.ReadAll(io.LimitReader(connection, 12))
	if len(heard) == 0 {
		return word(err), err
	}
	if said := string(heard); strings.HasPrefix(said, "HTTP/") && (strings.HasSuffix(said, " 403") || strings.HasSuffix(said, " 503")) {
		return "DENIED", errors.New(said)
	}
	return "", nil
}

func word(err error) string {
	var name *net.DNSError
	var wait net.Error
	switch {
	case errors.As(err, &name):
		return "DNS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "REFUSED"
	case errors.As(err, &wait) && wait.Timeout():
		return "TIMEOUT"
	default:
		return "CLOSED"
	}
}
