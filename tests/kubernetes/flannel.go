// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr"
	"github.com/flannel-io/flannel/pkg/trafficmngr/iptables"
	"github.com/flannel-io/flannel/pkg/trafficmngr/nftables"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	flannelPrefix = "flannel.alpha.coreos.com"
	resyncSeconds = 5
)

// flanneld is Flannel's daemon from its own packages, with the one backend that the tests use: its
// main package brings the SDK of a cloud. It gets the subnets from the Node, sets up VXLAN and
// masquerading, writes what a CNI plugin must know to the subnet file, and follows the other nodes.
func flanneld() {
	flags := flag.NewFlagSet("flanneld", flag.ExitOnError)
	node := flags.String("node", "", "name of the Node that it runs on")
	kubeconfig := flags.String("kubeconfig", "", "path of a kubeconfig")
	netConf := flags.String("net-config", "", "path of Flannel's configuration")
	device := flags.String("iface", "", "device to the other nodes")
	subnetFile := flags.String("subnet-file", "/run/flannel/subnet.env", "written when it works")
	flags.Parse(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := runFlannel(ctx, *node, *kubeconfig, *netConf, *device, *subnetFile); err != nil {
		fail(fmt.Errorf("flanneld: %w", err))
	}
}

func runFlannel(ctx context.Context, node, kubeconfig, netConf, device, subnetFile string) error {
	if err := awaitSubnet(ctx, kubeconfig, node); err != nil {
		return err
	}
	os.Setenv("NODE_NAME", node) // where the manager looks for it
	manager, err := kube.NewSubnetManager(ctx, "", kubeconfig, flannelPrefix, netConf, true)
	if err != nil {
		return err
	}
	config, err := manager.GetNetworkConfig(ctx)
	if err != nil {
		return err
	}
	family, err := ipmatch.GetIPFamily(config.EnableIPv4, config.EnableIPv6)
	if err != nil {
		return err
	}
	external, err := ipmatch.LookupExtIface(device, "", "", family, ipmatch.PublicIPOpts{})
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	chosen, err := backend.NewManager(ctx, manager, external).GetBackend(config.BackendType)
	if err != nil {
		return err
	}
	network, err := chosen.RegisterNetwork(ctx, &wait, config)
	if err != nil {
		return err
	}
	if err := writeRules(ctx, config, network); err != nil {
		return err
	}
	lease := network.Lease()
	err = manager.HandleSubnetFile(subnetFile, config, true, lease.Subnet, lease.IPv6Subnet,
		network.MTU())
	if err != nil {
		return err
	}
	wait.Go(func() { network.Run(ctx) })
	err = manager.CompleteLease(ctx, lease, &wait)
	wait.Wait()
	return err
}

// awaitSubnet returns when the controller manager has given the Node its ranges. Flannel itself
// looks for a missing Node each three seconds, and fails for one without ranges.
func awaitSubnet(ctx context.Context, kubeconfig, node string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	for {
		found, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err == nil && found.Spec.PodCIDR != "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// writeRules sets up masquerading and forwarding, and keeps them; what a node that is new has none
// of (earlier subnets) is empty.
func writeRules(ctx context.Context, config *subnet.Config, network backend.Network) error {
	var rules trafficmngr.TrafficManager = &iptables.IPTablesManager{}
	if config.EnableNFTables {
		rules = &nftables.NFTablesManager{}
	}
	if err := rules.Init(ctx); err != nil {
		return err
	}
	none4, none6 := ip.IP4Net{}, ip.IP6Net{IP: new(ip.IP6)}
	err := rules.SetupAndEnsureMasqRules(ctx, config.Network, none4, none4, config.IPv6Network, none6,
		none6, network.Lease(), resyncSeconds, false)
	if err != nil {
		return err
	}
	rules.SetupAndEnsureForwardRules(ctx, config.Network, config.IPv6Network, resyncSeconds)
	return nil
}
