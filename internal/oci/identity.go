package oci

import "fmt"

// A Kind is a way to authenticate.
type Kind string

// The kinds, as oci.auth names them.
const (
	// APIKey signs with the key of a user, from the OCI configuration file.
	APIKey Kind = "api_key"
	// SessionToken signs with the token that `oci session authenticate` wrote.
	SessionToken Kind = "session_token"
	// InstancePrincipal signs as the OCI instance that this process runs on.
	InstancePrincipal Kind = "instance_principal"
	// ResourcePrincipal signs as the OCI resource that started this process.
	ResourcePrincipal Kind = "resource_principal"
	// WorkloadIdentity signs as the Kubernetes service account of a pod in OKE.
	WorkloadIdentity Kind = "workload_identity"
)

// An Identity is who signs the requests; it holds no secret.
type Identity struct {
	Kind Kind
	// Tenancy is empty until the first token of a principal came.
	Tenancy string
	// User and Fingerprint are those of an API key; a session token has only the
	// latter, a principal neither.
	User, Fingerprint string
	Region            string
	// ConfigFile and Profile are empty for a principal, which needs no file.
	ConfigFile, Profile string
}

// String says as whom requests are signed.
func (id Identity) String() string {
	switch id.Kind {
	case InstancePrincipal:
		return "this OCI instance"
	case ResourcePrincipal:
		return "the OCI resource that started this process"
	case WorkloadIdentity:
		return "the Kubernetes service account of this pod"
	case SessionToken:
		return fmt.Sprintf("session token of profile [%s] in %s", id.Profile, id.ConfigFile)
	}
	return fmt.Sprintf("API key %s of user %s, profile [%s] in %s", id.Fingerprint, id.User, id.Profile, id.ConfigFile)
}

// usageTenancy is where Oracle keeps the reports of everybody.
const usageTenancy = "ocid1.tenancy.oc1..aaaaaaaaned4fkpkisbwjlr56u7cj63lf3wffbilvqknstgtvzub7vhqkggq"

// MatchingRule is that of the dynamic group that a principal must be in; empty
// where the kind needs no such group.
func (id Identity) MatchingRule() string {
	switch id.Kind {
	case InstancePrincipal:
		return "ANY {instance.compartment.id = '<compartment OCID>'}"
	case ResourcePrincipal:
		return "ALL {resource.type = '<type, such as computecontainerinstance>', resource.compartment.id = '<compartment OCID>'}"
	}
	return ""
}

// Statements are the policy that the kind needs, in the root compartment of the
// tenancy, word for word.
func (id Identity) Statements() []string {
	who, where := "group <group of the user>", ""
	switch id.Kind {
	case InstancePrincipal, ResourcePrincipal:
		who = "dynamic-group <dynamic group>"
	case WorkloadIdentity:
		who = "any-user"
		where = " where ALL {request.principal.type = 'workload', request.principal.namespace = '<namespace>', " +
			"request.principal.service_account = '<service account>', request.principal.cluster_id = '<cluster OCID>'}"
	}
	return []string{
		"define tenancy usage-report as " + usageTenancy,
		"endorse " + who + " to read objects in tenancy usage-report" + where,
	}
}

// subject is who a policy is for.
func (id Identity) subject() string {
	switch id.Kind {
	case InstancePrincipal:
		return "the dynamic group of this instance"
	case ResourcePrincipal:
		return "the dynamic group of this resource"
	case WorkloadIdentity:
		return "any-user, where request.principal is this workload,"
	case SessionToken:
		return "a group of the user who signed in"
	}
	return "the group of user " + id.User
}

// refused is what to do when Oracle does not accept the signature.
func (id Identity) refused() string {
	switch id.Kind {
	case InstancePrincipal, ResourcePrincipal, WorkloadIdentity:
		return "OCI does not accept the token of " + id.String() + "; the next request asks for a new one. Where that does not help, check that oci.endpoint is Oracle's"
	case SessionToken:
		return "the " + id.String() + " is not accepted: " + id.signIn()
	}
	return fmt.Sprintf("check that the API key %s is still registered for the user %s and belongs to the key_file of profile [%s] in %s",
		id.Fingerprint, id.User, id.Profile, id.ConfigFile)
}

// signIn is how a new session token is made.
func (id Identity) signIn() string {
	return fmt.Sprintf("run `oci session refresh --profile %s`, or `oci session authenticate --profile-name %s --region %s`, "+
		"which this program notices; or use api_key, which does not end", id.Profile, id.Profile, id.Region)
}
