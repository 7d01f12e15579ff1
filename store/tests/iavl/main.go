// Writes roots.txt: random changes of an IAVL tree, and the root hash of each version by github.com/cosmos/iavl.
//
// Run `go run . > roots.txt` in this directory. The lines are `set KEY VALUE`, `remove KEY` and `commit VERSION ROOT`.
package main

import (
	"fmt"
	"math/rand"
	"sort"

	"cosmossdk.io/log"
	"github.com/cosmos/iavl"
	"github.com/cosmos/iavl/db"
)

func main() {
	random := rand.New(rand.NewSource(7))
	tree := iavl.NewMutableTree(db.NewMemDB(), 0, false, log.NewNopLogger())
	live := map[string]bool{}
	for version := 1; version <= 120; version++ {
		// Growth first, then as many removals as insertions, then mostly removals.
		removals := []int{1, 5, 8}[(version-1)/40]
		changes := map[string]string{}
		for range 1 + random.Intn(12) {
			key := fmt.Sprintf("k/%d", random.Intn(150))
			if live[key] && random.Intn(10) < removals {
				changes[key] = ""
			} else if removals < 8 || random.Intn(4) == 0 {
				changes[key] = fmt.Sprintf("v%d.%d", version, random.Intn(1000))
			}
		}
		keys := make([]string, 0, len(changes))
		for key := range changes {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		for _, key := range keys {
			if value := changes[key]; value == "" {
				if _, removed, err := tree.Remove([]byte(key)); err != nil || !removed {
					panic(fmt.Sprint(key, err))
				}
				delete(live, key)
				fmt.Println("remove", key)
			} else {
				if _, err := tree.Set([]byte(key), []byte(value)); err != nil {
					panic(err)
				}
				live[key] = true
				fmt.Println("set", key, value)
			}
		}
		root, saved, err := tree.SaveVersion()
		if err != nil || saved != int64(version) {
			panic(fmt.Sprint(saved, err))
		}
		fmt.Printf("commit %d %x\n", version, root)
	}
}
