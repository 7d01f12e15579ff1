// Does with the Go packages of the Cosmos SDK what its command lines do: keys, payments, multisigs, queries over gRPC
// and over ABCI, and waiting for transactions. Prints a line for each check, and fails at the first one that does not
// hold.
//
// usage: go run ./sdk RPC GRPC CHAIN_ID
package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"time"

	"cosmossdk.io/math"
	rpchttp "github.com/cometbft/cometbft/rpc/client/http"
	"github.com/cosmos/cosmos-sdk/client"
	clienttx "github.com/cosmos/cosmos-sdk/client/tx"
	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/codec/address"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/crypto/keyring"
	"github.com/cosmos/cosmos-sdk/std"
	sdk "github.com/cosmos/cosmos-sdk/types"
	signingtypes "github.com/cosmos/cosmos-sdk/types/tx/signing"
	authtx "github.com/cosmos/cosmos-sdk/x/auth/tx"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/gogoproto/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"cosmossdk.io/x/tx/signing"
)

const (
	prefix = "capstan"
	denom  = "ucap"
	// The mnemonic of the accounts of every development chain.
	mnemonic = "test test test test test test test test test test test junk"
	patience = time.Minute
)

// chain is a node, seen by the SDK's client: queries by ABCI, or by gRPC.
type chain struct {
	context client.Context
	grpc    client.Context
	rpc     *rpchttp.HTTP
	keys    keyring.Keyring
	printed *bytes.Buffer
}

func must[T any](value T, err error) T {
	if err != nil {
		_ = log.Output(2, err.Error())
		os.Exit(1)
	}
	return value
}

func check(holds bool, about ...any) {
	if !holds {
		_ = log.Output(2, fmt.Sprint(about...))
		os.Exit(1)
	}
}

// connect makes the client's context as the SDK's applications do in their main command.
func connect(rpc, grpcAddress, id string) chain {
	config := sdk.GetConfig()
	config.SetBech32PrefixForAccount(prefix, prefix+"pub")
	config.SetBech32PrefixForValidator(prefix+"valoper", prefix+"valoperpub")
	registry := must(codectypes.NewInterfaceRegistryWithOptions(codectypes.InterfaceRegistryOptions{
		ProtoFiles: proto.HybridResolver,
		SigningOptions: signing.Options{
			AddressCodec:          address.NewBech32Codec(prefix),
			ValidatorAddressCodec: address.NewBech32Codec(prefix + "valoper"),
		},
	}))
	std.RegisterInterfaces(registry)
	authtypes.RegisterInterfaces(registry)
	banktypes.RegisterInterfaces(registry)
	amino := codec.NewLegacyAmino()
	std.RegisterLegacyAminoCodec(amino)
	banktypes.RegisterLegacyAminoCodec(amino)
	cdc := codec.NewProtoCodec(registry)
	keys := keyring.NewInMemory(cdc)
	node := must(rpchttp.New(rpc, "/websocket"))
	check(node.Start() == nil, "the WebSocket does not open")
	printed := new(bytes.Buffer)
	context := client.Context{}.
		WithCmdContext(context.Background()).
		WithCodec(cdc).
		WithInterfaceRegistry(registry).
		WithLegacyAmino(amino).
		WithTxConfig(authtx.NewTxConfig(cdc, authtx.DefaultSignModes)).
		WithAccountRetriever(authtypes.AccountRetriever{}).
		WithBroadcastMode("sync").
		WithChainID(id).
		WithClient(node).
		WithKeyring(keys).
		WithNodeURI(rpc).
		WithOutput(printed).
		WithOutputFormat("json").
		WithSkipConfirmation(true)
	connection := must(grpc.NewClient(grpcAddress,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec.NewProtoCodec(registry).GRPCCodec()))))
	return chain{context, context.WithGRPCClient(connection), node, keys, printed}
}

// factory makes transactions with `--gas auto --gas-adjustment 1.2 --gas-prices 1ucap`.
func (c chain) factory(context client.Context, from string) clienttx.Factory {
	return clienttx.Factory{}.
		WithTxConfig(context.TxConfig).
		WithAccountRetriever(context.AccountRetriever).
		WithKeybase(c.keys).
		WithChainID(context.ChainID).
		WithFromName(from).
		WithSimulateAndExecute(true).
		WithGasAdjustment(1.2).
		WithGasPrices("1" + denom).
		WithMemo("from <Tom & Jerry>").
		WithSignMode(signingtypes.SignMode_SIGN_MODE_DIRECT)
}

func (c chain) address(name string) sdk.AccAddress {
	return must(must(c.keys.Key(name)).GetAddress())
}

func send(from, to sdk.AccAddress, amount int64) *banktypes.MsgSend {
	return banktypes.NewMsgSend(from, to, coins(amount))
}

func coins(amount int64) sdk.Coins {
	return sdk.NewCoins(sdk.NewCoin(denom, math.NewInt(amount)))
}

// broadcast does what `tx bank send` does, and returns the hash.
func (c chain) broadcast(context client.Context, factory clienttx.Factory, from string, msgs ...sdk.Msg) string {
	c.printed.Reset()
	context = context.WithFromName(from).WithFromAddress(c.address(from)).WithFrom(from)
	if err := clienttx.BroadcastTx(context, factory, msgs...); err != nil {
		_ = log.Output(2, err.Error())
		os.Exit(1)
	}
	var response sdk.TxResponse
	if err := c.context.Codec.UnmarshalJSON(c.printed.Bytes(), &response); err != nil {
		log.Fatal(err, ": ", c.printed.String())
	}
	check(response.Code == 0, response.RawLog)
	return response.TxHash
}

// wait does what `q wait-tx` does, and returns what `q tx` says.
func (c chain) wait(hash string) *sdk.TxResponse {
	bytes := must(hex.DecodeString(hash))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	query := fmt.Sprintf("tm.event='Tx' AND tx.hash='%s'", hash)
	events := must(c.rpc.Subscribe(ctx, hash, query))
	defer func() { _ = c.rpc.UnsubscribeAll(context.Background(), hash) }()
	if _, err := c.rpc.Tx(ctx, bytes, false); err != nil {
		select {
		case <-events:
		case <-ctx.Done():
			log.Fatal("no event of ", hash)
		}
	}
	// CometBFT tells of a transaction before its index has it.
	response, err := authtx.QueryTx(c.context, hash)
	for ; err != nil && ctx.Err() == nil; response, err = authtx.QueryTx(c.context, hash) {
		time.Sleep(100 * time.Millisecond)
	}
	check(err == nil, err)
	check(response.Code == 0, response.RawLog)
	check(response.GasUsed > 0 && response.GasUsed <= response.GasWanted, response.GasUsed, " of ", response.GasWanted)
	return response
}

func main() {
	log.SetFlags(log.Lshortfile)
	if len(os.Args) != 4 {
		log.Fatal("usage: go run ./sdk RPC GRPC CHAIN_ID")
	}
	c := connect(os.Args[1], os.Args[2], os.Args[3])
	for _, test := range checks {
		test.run(c)
		fmt.Println("ok", test.name)
	}
}
