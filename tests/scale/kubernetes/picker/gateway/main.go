// Gateway stands in for Envoy: it asks the endpoint picker about each request by Envoy's own protocol (ext_proc), and
// sends it to the endpoint that was picked.
//
// gateway LISTEN PICKER PREFIX: what is below /PREFIX is asked of the picker at PICKER, by TLS with whatever certificate
// the picker has made, and goes on without the prefix. An answer says in X-Picked where it came from.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ext "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// The header by which a picker says where a request goes, as the extension's protocol names it.
const destination = "x-gateway-destination-endpoint"

// refused is a picker's own answer, in place of an endpoint.
type refused struct {
	status int
	body   []byte
}

func (r refused) Error() string { return fmt.Sprintf("the picker answers %d: %s", r.status, r.body) }

func main() {
	listen, picker, prefix := os.Args[1], os.Args[2], "/"+os.Args[3]
	// The extension's protocol lets a picker make its own certificate, and gateways take it as it is.
	secure := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	connection, err := grpc.NewClient(picker, grpc.WithTransportCredentials(secure))
	if err != nil {
		log.Fatal(err)
	}
	client := ext.NewExternalProcessorClient(connection)
	handler := func(w http.ResponseWriter, r *http.Request) { serve(client, w, r) }
	log.Fatal(http.ListenAndServe(listen, http.StripPrefix(prefix, http.HandlerFunc(handler))))
}

func serve(client ext.ExternalProcessorClient, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// Two cores that do other work besides.
	ctx, done := context.WithTimeout(r.Context(), time.Minute)
	defer done()
	picked, body, err := pick(ctx, client, r, body)
	if no, ok := err.(refused); ok {
		w.WriteHeader(no.status)
		w.Write(no.body)
		return
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("X-Picked", picked)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: picked})
	proxy.FlushInterval = -1
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	proxy.ServeHTTP(w, r)
}

// pick asks about one request, headers first and then its body, as Envoy does in the mode FULL_DUPLEX_STREAMED. It gives
// the endpoint, and the body as the picker wants it sent.
func pick(ctx context.Context, client ext.ExternalProcessorClient, r *http.Request, body []byte) (string, []byte, error) {
	stream, err := client.Process(ctx)
	if err != nil {
		return "", nil, err
	}
	headers := []*core.HeaderValue{
		{Key: ":method", RawValue: []byte(r.Method)},
		{Key: ":path", RawValue: []byte(r.URL.RequestURI())},
	}
	for name, values := range r.Header {
		headers = append(headers, &core.HeaderValue{
			Key: strings.ToLower(name), RawValue: []byte(strings.Join(values, ",")),
		})
	}
	bodiless := len(body) == 0
	err = stream.Send(&ext.ProcessingRequest{Request: &ext.ProcessingRequest_RequestHeaders{RequestHeaders: &ext.HttpHeaders{
		Headers: &core.HeaderMap{Headers: headers}, EndOfStream: bodiless,
	}}})
	if err == nil && !bodiless {
		err = stream.Send(&ext.ProcessingRequest{Request: &ext.ProcessingRequest_RequestBody{RequestBody: &ext.HttpBody{
			Body: body, EndOfStream: true,
		}}})
	}
	if err != nil {
		return "", nil, err
	}
	return decided(stream, bodiless)
}

// decided reads until there are both an endpoint and the whole body.
func decided(stream ext.ExternalProcessor_ProcessClient, whole bool) (string, []byte, error) {
	var picked string
	var body []byte
	for picked == "" || !whole {
		answer, err := stream.Recv()
		if err != nil {
			return "", nil, err
		}
		if no := answer.GetImmediateResponse(); no != nil {
			return "", nil, refused{int(no.GetStatus().GetCode()), no.GetBody()}
		}
		if found := answer.GetRequestHeaders(); found != nil {
			picked = endpoint(found.GetResponse(), picked)
		}
		if found := answer.GetRequestBody(); found != nil {
			picked = endpoint(found.GetResponse(), picked)
			if part := found.GetResponse().GetBodyMutation().GetStreamedResponse(); part != nil {
				body = append(body, part.GetBody()...)
				whole = whole || part.GetEndOfStream()
			}
		}
	}
	return picked, body, stream.CloseSend()
}

func endpoint(common *ext.CommonResponse, before string) string {
	for _, set := range common.GetHeaderMutation().GetSetHeaders() {
		if strings.EqualFold(set.GetHeader().GetKey(), destination) {
			return string(set.GetHeader().GetRawValue())
		}
	}
	return before
}
