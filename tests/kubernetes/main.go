// SPDX-License-Identifier: Apache-2.0

// The parts of Kubernetes, and of Flannel, that the tests need, in one binary.
//
//	kubernetes PART ARGS...     PART is a key of the table below
//	ln -s kubernetes kubectl; ./kubectl ARGS...
//
// One process runs one part: parts share process-wide feature gates, flags and loggers, and
// upstream does not support two of them together. etcd is the exception: its embed package runs
// beside any part, which is what `up` does.
package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// parts: a new one is one import and one line here.
var parts = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"flanneld":                flanneld,
	"kube-apiserver":          command(apiserver.NewAPIServerCommand),
	"kube-controller-manager": command(controllermanager.NewControllerManagerCommand),
	"kube-proxy":              command(proxy.NewProxyCommand),
	"kube-scheduler":          command(newScheduler),
	"kubectl":                 runKubectl,
	"kubelet":                 command(newKubelet),
	"store":                   store,
	"up":                      up,
}

func main() {
	name := filepath.Base(os.Args[0])
	run, found := parts[name]
	if !found && len(os.Args) > 1 {
		name = os.Args[1]
		if run, found = parts[name]; found {
			os.Args = append([]string{name}, os.Args[2:]...)
		}
	}
	if !found {
		names := slices.Sorted(maps.Keys(parts))
		fmt.Fprintf(os.Stderr, "usage: kubernetes %s ARGS...\n", strings.Join(names, "|"))
		os.Exit(2)
	}
	run()
}

func command(build func() *cobra.Command) func() {
	return func() { os.Exit(cli.Run(build())) }
}

func newScheduler() *cobra.Command { return scheduler.NewSchedulerCommand() }

func newKubelet() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }

func runKubectl() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}

// up DIR FLAGS...: etcd with its data in DIR and kube-apiserver with FLAGS, in one process.
func up() {
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		fail(fmt.Errorf("up: the first argument must be etcd's data directory"))
	}
	servers, err := startEtcd(os.Args[1])
	if err != nil {
		fail(fmt.Errorf("up: etcd in %s: %w", os.Args[1], err))
	}
	os.Args = append(append([]string{"kube-apiserver"}, os.Args[2:]...), "--etcd-servers="+servers)
	os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
}

// startEtcd returns the URL to reach it by, once it answers, and leaves it in DIR/client-url for
// `store`. (An API server whose first call is refused waits a whole second before the next.)
func startEtcd(dir string) (string, error) {
	// Ports that the kernel chooses: many clusters run on one host. The advertised URLs only name
	// the single member to itself, and must be the same at each start on the same data.
	listen := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	advertise := []url.URL{{Scheme: "http", Host: "127.0.0.1:2380"}}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.UnsafeNoFsync = true // test data; a crash of the host may lose it
	cfg.LogLevel = "warn"
	cfg.LogOutputs = []string{"stderr"}
	cfg.TickMs, cfg.ElectionMs = 10, 100 // a single member has nobody to wait for
	// Zero in this package, so that each request would be logged as slow.
	cfg.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	cfg.EnableGRPCGateway = false // it cannot find a port that the kernel chose
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = listen, advertise
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = listen, advertise
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return "", err
	}
	select {
	case <-server.Server.ReadyNotify():
	case err = <-server.Err():
		return "", err
	}
	address := "http://" + server.Clients[0].Addr().String()
	return address, os.WriteFile(filepath.Join(dir, "client-url"), []byte(address), 0o600)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
