// Verifies records of the chain at a node's RPC with CometBFT's light client, from a trusted header, and with the
// proof runtime of the Cosmos SDK. Prints a line for each check, and fails at the first one that does not hold.
//
// usage: go run . RPC CHAIN_ID PRESENT_KEY,… ABSENT_KEY,…
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"cosmossdk.io/store/rootmulti"
	storetypes "cosmossdk.io/store/types"
	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/crypto/merkle"
	"github.com/cometbft/cometbft/light"
	lightrpc "github.com/cometbft/cometbft/light/rpc"
	lightdb "github.com/cometbft/cometbft/light/store/db"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	"github.com/cometbft/cometbft/rpc/client/http"
)

const store = "capstan"

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	log.SetFlags(log.Lshortfile)
	if len(os.Args) != 5 {
		log.Fatal("usage: go run . RPC CHAIN_ID PRESENT_KEY,… ABSENT_KEY,…")
	}
	address, chain := os.Args[1], os.Args[2]
	context := context.Background()
	node := must(http.New(address, "/websocket"))
	// The header of the first block is trusted. The light client follows the validators from there.
	first := int64(1)
	trusted := must(node.Commit(context, &first))
	options := light.TrustOptions{Period: 24 * time.Hour, Height: first, Hash: trusted.Header.Hash()}
	headers := must(light.NewHTTPClient(context, chain, options, address, []string{address}, lightdb.New(dbm.NewMemDB(), chain)))
	client := lightrpc.NewClient(node, headers, lightrpc.KeyPathFn(lightrpc.DefaultMerkleKeyPathFn()))
	client.RegisterOpDecoder(storetypes.ProofOpIAVLCommitment, storetypes.CommitmentOpDecoder)
	client.RegisterOpDecoder(storetypes.ProofOpSimpleMerkleCommitment, storetypes.CommitmentOpDecoder)
	path := "/store/" + store + "/key"

	for _, key := range strings.Split(os.Args[3], ",") {
		answer := must(client.ABCIQuery(context, path, []byte(key))).Response
		if len(answer.Value) == 0 {
			log.Fatal("no value at ", key)
		}
		fmt.Println("ok value", key)
	}
	// The light client's own check of absence takes the key for a path of keys, so the SDK's runtime is used.
	runtime := rootmulti.DefaultProofRuntime()
	for _, key := range strings.Split(os.Args[4], ",") {
		answer := must(node.ABCIQueryWithOptions(context, path, []byte(key), rpcclient.ABCIQueryOptions{Prove: true})).Response
		header := must(headers.VerifyLightBlockAtHeight(context, answer.Height+1, time.Now()))
		keys := merkle.KeyPath{}.AppendKey([]byte(store), merkle.KeyEncodingURL).AppendKey([]byte(key), merkle.KeyEncodingURL)
		if err := runtime.VerifyAbsence(answer.ProofOps, header.AppHash, keys.String()); err != nil {
			log.Fatal(key, ": ", err)
		}
		if runtime.VerifyValue(answer.ProofOps, header.AppHash, keys.String(), []byte("forged")) == nil {
			log.Fatal("a forged value is accepted at ", key)
		}
		fmt.Println("ok absence", key)
	}
}
