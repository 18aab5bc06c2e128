// Package main is an OCI registry that listens on several addresses, so that the machine reaches it on loopback and the
// nodes reach the same one over their network. Layers are kept on disk, manifests in memory.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	addresses := flag.String("addresses", "", "comma-separated host:port pairs to listen on")
	directory := flag.String("directory", "", "where layers are kept")
	flag.Parse()
	if *addresses == "" || *directory == "" {
		log.Fatal("registry: -addresses and -directory are needed")
	}
	handler := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(*directory)))
	failed := make(chan error)
	for _, address := range strings.Split(*addresses, ",") {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			log.Fatal(err)
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- server.Serve(listener) }()
	}
	log.Fatal(<-failed)
}
