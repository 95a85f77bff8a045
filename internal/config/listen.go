package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

// checkListen checks the settings of -listen.
func checkListen(c *Config) error {
	switch {
	case (c.ListenCert == "") != (c.ListenKey == ""):
		return errors.New("-listencert and -listenkey: one without the other")
	case c.Listen == "" && (c.ListenCert != "" || c.ListenUser != ""):
		return errors.New("-listencert and -listenuser are for -listen, which is not set")
	}
	return nil
}

// CheckLoop returns an error if a relay is the address of -listen: mail would come back for ever.
func (c *Config) CheckLoop() error {
	if c.Listen == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		host, port = "127.0.0.1", c.Listen
	}
	lists := []string{c.Opts.SMTPAddr}
	for _, r := range c.Opts.Routes {
		lists = append(lists, r.SMTPAddr)
	}
	for _, list := range lists {
		for relay := range strings.SplitSeq(list, ",") {
			relay = strings.TrimSpace(relay)
			addr := relay
			for scheme, usual := range map[string]string{"smtp://": "25", "smtps://": "465", "lmtp://": ""} {
				if rest, ok := strings.CutPrefix(relay, scheme); ok {
					addr = rest
					if _, _, err := net.SplitHostPort(addr); err != nil {
						addr = net.JoinHostPort(strings.Trim(addr, "[]"), usual)
					}
				}
			}
			relayHost, relayPort, err := net.SplitHostPort(addr)
			if err == nil && relayPort == port && isThisHost(relayHost, host) {
				return &Error{fmt.Errorf("the relay %s is the address of -listen (%s): mail would go round in circles",
					relay, c.Listen)}
			}
		}
	}
	return nil
}

// isThisHost reports whether a connection to host reaches a socket that listens on the address listen.
func isThisHost(host, listen string) bool {
	if strings.EqualFold(host, listen) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	loopback := err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
	own, listenErr := netip.ParseAddr(listen)
	switch all := listen == "" || listenErr == nil && own.IsUnspecified(); {
	case all && loopback:
		return true
	case all && err == nil:
		return isInterface(addr)
	case all:
		name, _ := os.Hostname()
		return strings.EqualFold(host, name)
	}
	isLocal := strings.EqualFold(listen, "localhost") || listenErr == nil && own.Unmap().IsLoopback()
	return loopback && isLocal
}

// isInterface reports whether addr is an address of this host.
func isInterface(addr netip.Addr) bool {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap() == addr.Unmap() {
			return true
		}
	}
	return false
}
