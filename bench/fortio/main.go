// Command fortio is the load generator and echo server of that name, pinned by this module.
package main

import "fortio.org/fortio/cli"

func main() {
	cli.FortioMain(nil)
}
