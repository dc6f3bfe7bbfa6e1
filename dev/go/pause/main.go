// The one program of the node's own image, small enough to load in no time. As `pause` it holds a
// pod's namespaces open; as `volume` it makes and removes folders for the volume provisioner.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	if filepath.Base(os.Args[0]) != "volume" {
		pause()
		return
	}
	if err := volume(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pause reaps orphans, being process 1 where a pod shares its processes, and waits to be ended.
func pause() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGINT, syscall.SIGTERM)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return
		}
	}
}

// volume takes the arguments that the local-path-provisioner gives to its helper pods.
func volume() error {
	path := flag.String("p", "", "the volume's folder")
	action := flag.String("a", "", "create or delete")
	flag.String("m", "", "the volume's mode; unused")
	flag.Int64("s", 0, "the volume's size; unused")
	flag.Parse()
	if *action == "delete" {
		return os.RemoveAll(*path)
	}
	if err := os.MkdirAll(*path, 0o777); err != nil {
		return err
	}
	// Open to all, as the pods that use it need not run as root; chmod because of the umask.
	return os.Chmod(*path, 0o777)
}
