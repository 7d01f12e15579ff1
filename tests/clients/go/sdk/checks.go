package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/grpc/cmtservice"
	"github.com/cosmos/cosmos-sdk/client/grpc/node"
	clienttx "github.com/cosmos/cosmos-sdk/client/tx"
	"github.com/cosmos/cosmos-sdk/crypto/hd"
	kmultisig "github.com/cosmos/cosmos-sdk/crypto/keys/multisig"
	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"
	"github.com/cosmos/cosmos-sdk/crypto/types/multisig"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	grpctypes "github.com/cosmos/cosmos-sdk/types/grpc"
	"github.com/cosmos/cosmos-sdk/types/query"
	"github.com/cosmos/cosmos-sdk/types/tx"
	signingtypes "github.com/cosmos/cosmos-sdk/types/tx/signing"
	authtx "github.com/cosmos/cosmos-sdk/x/auth/tx"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var checks = []struct {
	name string
	run  func(chain)
}{
	{"keys are those of the chain's own tools", keysAreTheSame},
	{"accounts and balances are read by ABCI and by gRPC", accounts},
	{"an unknown account is not found", unknownAccount},
	{"a payment with automatic gas, signed directly", paysDirectly},
	{"a payment signed in amino JSON, as Ledgers do", paysInAmino},
	{"two of three keys of a multisig pay", paysByMultisig},
	{"transactions are found by hash and by events", findsTransactions},
	{"blocks, the node and its configuration are read by gRPC", blocks},
	{"a balance at a past height, by ABCI and by gRPC", pastHeight},
	{"what the chain does not have is unimplemented or refused", refusals},
}

// both runs a check with queries by ABCI and with queries by gRPC.
func (c chain) both(run func(client.Context)) {
	run(c.context)
	run(c.grpc)
}

func keysAreTheSame(c chain) {
	for index, name := range []string{"alice", "bob", "carol"} {
		path := hd.CreateHDPath(118, 0, uint32(index)).String()
		record := must(c.keys.NewAccount(name, mnemonic, "", path, hd.Secp256k1))
		address := must(record.GetAddress())
		check(strings.HasPrefix(address.String(), prefix+"1"), address)
		check(must(c.keys.KeyByAddress(address)).Name == name, name)
	}
	check(len(must(c.keys.List())) == 3)
}

func balance(ctx client.Context, of sdk.AccAddress, call context.Context, options ...grpc.CallOption) int64 {
	request := banktypes.NewQueryBalanceRequest(of, denom)
	return must(banktypes.NewQueryClient(ctx).Balance(call, request, options...)).Balance.Amount.Int64()
}

func accounts(c chain) {
	alice := c.address("alice")
	c.both(func(ctx client.Context) {
		account := must(ctx.AccountRetriever.GetAccount(ctx, alice))
		check(account.GetAddress().Equals(alice), account)
		info := must(authtypes.NewQueryClient(ctx).AccountInfo(context.Background(), &authtypes.QueryAccountInfoRequest{Address: alice.String()}))
		check(info.Info.AccountNumber == account.GetAccountNumber(), info)
		all := must(banktypes.NewQueryClient(ctx).AllBalances(context.Background(), banktypes.NewQueryAllBalancesRequest(alice, &query.PageRequest{Limit: 10}, false)))
		check(all.Balances.AmountOf(denom).Int64() == balance(ctx, alice, context.Background()), all)
		spendable := must(banktypes.NewQueryClient(ctx).SpendableBalances(context.Background(), banktypes.NewQuerySpendableBalancesRequest(alice, nil)))
		check(spendable.Balances.Equal(all.Balances), spendable)
		supply := must(banktypes.NewQueryClient(ctx).TotalSupply(context.Background(), &banktypes.QueryTotalSupplyRequest{}))
		check(supply.Supply.AmountOf(denom).GT(all.Balances.AmountOf(denom)), supply)
		listed := must(authtypes.NewQueryClient(ctx).Accounts(context.Background(), &authtypes.QueryAccountsRequest{Pagination: &query.PageRequest{Limit: 2}}))
		for _, packed := range listed.Accounts {
			var unpacked sdk.AccountI
			check(ctx.InterfaceRegistry.UnpackAny(packed, &unpacked) == nil, packed)
		}
		check(len(listed.Accounts) == 2, listed)
	})
}

func unknownAccount(c chain) {
	nobody := sdk.AccAddress(strings.Repeat("\x07", 20))
	c.both(func(ctx client.Context) {
		_, err := ctx.AccountRetriever.GetAccount(ctx, nobody)
		check(err != nil && status.Code(err) == codes.NotFound || sdkerrors.ErrKeyNotFound.Is(err), err)
		check(balance(ctx, nobody, context.Background()) == 0)
	})
}

func paysDirectly(c chain) {
	alice, bob := c.address("alice"), c.address("bob")
	c.both(func(ctx client.Context) {
		before := balance(ctx, bob, context.Background())
		c.wait(c.broadcast(ctx, c.factory(ctx, "alice"), "alice", send(alice, bob, 7), send(alice, bob, 3)))
		check(balance(ctx, bob, context.Background()) == before+10, before)
	})
}

func paysInAmino(c chain) {
	bob := c.address("bob")
	factory := c.factory(c.context, "bob").WithSignMode(signingtypes.SignMode_SIGN_MODE_LEGACY_AMINO_JSON)
	c.wait(c.broadcast(c.context, factory, "bob", send(bob, c.address("alice"), 1)))
	height := must(c.rpc.Status(context.Background())).SyncInfo.LatestBlockHeight
	c.wait(c.broadcast(c.context, factory.WithTimeoutHeight(uint64(height)+50), "bob", send(bob, c.address("alice"), 1)))
}

// paysByMultisig does what `tx sign --multisig` and `tx multisign` do.
func paysByMultisig(c chain) {
	names := []string{"alice", "bob", "carol"}
	var members []cryptotypes.PubKey
	for _, name := range names {
		members = append(members, must(must(c.keys.Key(name)).GetPubKey()))
	}
	key := kmultisig.NewLegacyAminoPubKey(2, members)
	treasury := must(must(c.keys.SaveMultisig("treasury", key)).GetAddress())
	c.wait(c.broadcast(c.context, c.factory(c.context, "alice"), "alice", send(c.address("alice"), treasury, 3_000_000)))
	var first uint64
	for number, signers := range [][]string{{"alice", "carol"}, {"bob", "carol"}} {
		factory := c.factory(c.context, "treasury").WithSignMode(signingtypes.SignMode_SIGN_MODE_LEGACY_AMINO_JSON)
		ctx := c.context.WithFromAddress(treasury).WithFromName("treasury")
		factory = must(factory.Prepare(ctx))
		if number == 0 {
			first = factory.Sequence()
		}
		check(factory.Sequence() == first+uint64(number), factory.Sequence())
		_, gas, err := clienttx.CalculateGas(ctx, factory, send(treasury, c.address("bob"), 5))
		check(err == nil, err)
		factory = factory.WithGas(gas)
		builder := must(factory.BuildUnsignedTx(send(treasury, c.address("bob"), 5)))
		together := multisig.NewMultisig(len(members))
		for _, name := range signers {
			// Each signs for the number and the sequence of the multisig.
			check(clienttx.Sign(context.Background(), factory, name, builder, true) == nil, name)
			signatures := must(builder.GetTx().GetSignaturesV2())
			check(multisig.AddSignatureV2(together, signatures[0], members) == nil, name)
		}
		signature := signingtypes.SignatureV2{PubKey: key, Data: together, Sequence: factory.Sequence()}
		check(builder.SetSignatures(signature) == nil)
		response := must(c.context.BroadcastTx(must(c.context.TxConfig.TxEncoder()(builder.GetTx()))))
		check(response.Code == 0, response.RawLog)
		c.wait(response.TxHash)
	}
	account := must(c.grpc.AccountRetriever.GetAccount(c.grpc, treasury))
	check(account.GetPubKey().Equals(key), account)
}

func findsTransactions(c chain) {
	alice, bob := c.address("alice"), c.address("bob")
	response := c.wait(c.broadcast(c.context, c.factory(c.context, "alice"), "alice", send(alice, bob, 2)))
	sender := fmt.Sprintf("message.sender='%s' AND tx.height=%d", alice, response.Height)
	found := must(authtx.QueryTxsByEvents(c.context, 1, 10, sender, ""))
	check(found.TotalCount == 1 && found.Txs[0].TxHash == response.TxHash, found)
	service := tx.NewServiceClient(c.grpc)
	one := must(service.GetTx(context.Background(), &tx.GetTxRequest{Hash: response.TxHash}))
	check(one.TxResponse.Height == response.Height && one.TxResponse.GasUsed == response.GasUsed, one)
	check(one.Tx.Body.Memo == "from <Tom & Jerry>", one.Tx)
	check(one.Tx.UnpackInterfaces(c.context.InterfaceRegistry) == nil, one.Tx)
	messages := one.Tx.GetMsgs()
	check(messages[0].(*banktypes.MsgSend).Amount.Equal(coins(2)), messages)
	events := must(service.GetTxsEvent(context.Background(), &tx.GetTxsEventRequest{Query: sender, Limit: 10}))
	check(events.Total == 1 && events.TxResponses[0].TxHash == response.TxHash, events)
	old := must(service.GetTxsEvent(context.Background(), &tx.GetTxsEventRequest{Events: strings.Split(sender, " AND ")}))
	check(old.Total == 1, old)
	block := must(service.GetBlockWithTxs(context.Background(), &tx.GetBlockWithTxsRequest{Height: response.Height}))
	check(block.Block.Header.Height == response.Height && len(block.Txs) == 1, block)
	_, err := service.GetTx(context.Background(), &tx.GetTxRequest{Hash: strings.Repeat("00", 32)})
	check(status.Code(err) == codes.NotFound, err)
}

func blocks(c chain) {
	service := cmtservice.NewServiceClient(c.grpc)
	call := context.Background()
	latest := must(service.GetLatestBlock(call, &cmtservice.GetLatestBlockRequest{}))
	check(latest.SdkBlock.Header.ChainID == c.context.ChainID, latest.SdkBlock.Header)
	height := latest.SdkBlock.Header.Height
	same := must(service.GetBlockByHeight(call, &cmtservice.GetBlockByHeightRequest{Height: height}))
	check(string(same.BlockId.Hash) == string(latest.BlockId.Hash), same)
	local := must(c.rpc.Block(call, &height))
	check(string(local.BlockID.Hash) == string(same.BlockId.Hash), local)
	validators := must(service.GetLatestValidatorSet(call, &cmtservice.GetLatestValidatorSetRequest{}))
	check(len(validators.Validators) > 0, validators)
	syncing := must(service.GetSyncing(call, &cmtservice.GetSyncingRequest{}))
	check(!syncing.Syncing)
	info := must(service.GetNodeInfo(call, &cmtservice.GetNodeInfoRequest{}))
	check(info.DefaultNodeInfo.Network == c.context.ChainID && info.ApplicationVersion.Name != "", info)
	config := must(node.NewServiceClient(c.grpc).Config(call, &node.ConfigRequest{}))
	check(must(sdk.ParseDecCoins(config.MinimumGasPrice)).AmountOf(denom).IsPositive(), config)
	state := must(node.NewServiceClient(c.grpc).Status(call, &node.StatusRequest{}))
	check(state.Height >= uint64(height), state)
}

// pastHeight does what `q bank balances --height` does.
func pastHeight(c chain) {
	alice, bob := c.address("alice"), c.address("bob")
	before := balance(c.grpc, bob, context.Background())
	response := c.wait(c.broadcast(c.context, c.factory(c.context, "alice"), "alice", send(alice, bob, 11)))
	c.both(func(ctx client.Context) {
		for _, want := range []struct{ height, amount int64 }{{response.Height - 1, before}, {response.Height, before + 11}} {
			var header metadata.MD
			text := fmt.Sprint(want.height)
			call := metadata.AppendToOutgoingContext(context.Background(), grpctypes.GRPCBlockHeightHeader, text)
			check(balance(ctx, bob, call, grpc.Header(&header)) == want.amount, want)
			told := header.Get(grpctypes.GRPCBlockHeightHeader)
			check(len(told) == 1 && told[0] == text, header)
		}
		check(balance(ctx.WithHeight(response.Height), bob, context.Background()) == before+11)
		call := metadata.AppendToOutgoingContext(context.Background(), grpctypes.GRPCBlockHeightHeader, "1000000000")
		_, err := banktypes.NewQueryClient(ctx).Balance(call, banktypes.NewQueryBalanceRequest(bob, denom))
		check(err != nil && strings.Contains(err.Error(), "1000000000"), err)
	})
}

func refusals(c chain) {
	alice := c.address("alice")
	_, err := banktypes.NewQueryClient(c.grpc).SendEnabled(context.Background(), &banktypes.QuerySendEnabledRequest{})
	check(err == nil || status.Code(err) == codes.Unimplemented, err)
	ctx := c.context.WithFromName("alice").WithFromAddress(alice)
	factory := must(c.factory(ctx, "alice").Prepare(ctx))
	_, _, err = clienttx.CalculateGas(ctx, factory, banktypes.NewMsgMultiSend(banktypes.Input{Address: alice.String(), Coins: coins(1)}, nil))
	check(err != nil && strings.Contains(err.Error(), "MsgMultiSend"), err)
	poor := factory.WithGas(10).WithGasPrices("").WithFees("500000" + denom)
	response := c.broadcastSigned(poor, "alice", send(alice, alice, 1))
	check(response.Codespace == "capstan" && strings.Contains(response.RawLog, "out of gas"), response)
	stale := factory.WithGas(100_000).WithSequence(factory.Sequence() + 7)
	response = c.broadcastSigned(stale, "alice", send(alice, alice, 1))
	check(strings.Contains(response.RawLog, "account sequence mismatch"), response)
	// The SDK tells from the node's text that a transaction is known already.
	good := factory.WithGas(100_000)
	response = c.broadcastSigned(good, "alice", send(alice, alice, 1))
	check(response.Code == 0, response)
	again := c.broadcastSigned(good, "alice", send(alice, alice, 1))
	check(again.Codespace == sdkerrors.RootCodespace && again.Code == sdkerrors.ErrTxInMempoolCache.ABCICode(), again)
	c.wait(response.TxHash)
}

// broadcastSigned signs with the terms of a factory as they are.
func (c chain) broadcastSigned(factory clienttx.Factory, from string, msgs ...sdk.Msg) *sdk.TxResponse {
	builder := must(factory.BuildUnsignedTx(msgs...))
	check(clienttx.Sign(context.Background(), factory, from, builder, true) == nil, from)
	return must(c.context.BroadcastTx(must(c.context.TxConfig.TxEncoder()(builder.GetTx()))))
}
