// Kubernetes' own Pod Security webhook, as its module has it: what the fastest known answer to a review costs.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/pod-security-admission/cmd/webhook/server"
)

func main() {
	os.Exit(cli.Run(server.NewServerCommand()))
}
