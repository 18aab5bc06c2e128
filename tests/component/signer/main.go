// Package main signs an image by a new key with the libraries that cosign itself signs with: the older form's payload,
// and an envelope around a statement. Arguments: NAME@DIGEST and the statement. Output: JSON.
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
	"github.com/sigstore/sigstore/pkg/signature/payload"
)

func main() {
	image, err := name.NewDigest(os.Args[1])
	check(err)
	signer, _, err := signature.NewDefaultECDSASignerVerifier()
	check(err)
	document, err := json.Marshal(payload.Cosign{Image: image})
	check(err)
	signed, err := signer.SignMessage(bytes.NewReader(document))
	check(err)
	wrapped := dsse.WrapSigner(signer, "application/vnd.in-toto+json")
	envelope, err := wrapped.SignMessage(bytes.NewReader([]byte(os.Args[2])))
	check(err)
	public, err := signer.PublicKey()
	check(err)
	pem, err := cryptoutils.MarshalPublicKeyToPEM(public)
	check(err)
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"payload":   document,
		"signature": signed,
		"envelope":  json.RawMessage(envelope),
		"key":       string(pem),
	}))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
