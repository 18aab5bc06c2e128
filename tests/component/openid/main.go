// Openid is an OpenID provider (OpenID Connect Core 1.0) on the loopback: it logs its one user in by a form, and signs
// tokens with a key of its own. It prints its port when it listens.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

func main() {
	issuer := flag.String("issuer", "", "what tokens say of who has issued them (an https address)")
	secret := flag.String("secret", "", "the secret of the client shop")
	back := flag.String("redirect", "", "where browsers are sent with the code")
	flag.Parse()
	storage.RegisterClients(storage.WebClient("shop", *secret, *back))
	users := storage.NewUserStore("http://localhost:0/")
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	router := exampleop.SetupServer(*issuer, storage.NewStorage(users), quiet, false)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, router))
}
