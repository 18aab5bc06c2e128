// References reads texts (JSON strings, one a line) and says what the library of the container runtimes makes of each:
// registry, repository, tag and digest, or an empty list for what is no image reference.
package main

import (
	"bufio"
	// Digests of algorithms that are not linked in are refused.
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/json"
	"log"
	"os"

	"github.com/distribution/reference"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var text string
		if err := json.Unmarshal(lines.Bytes(), &text); err != nil {
			log.Fatal(err)
		}
		if err := answers.Encode(read(text)); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

func read(text string) []string {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return []string{}
	}
	tag, digest := "", ""
	if tagged, ok := named.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		digest = digested.Digest().String()
	}
	return []string{reference.Domain(named), reference.Path(named), tag, digest}
}
