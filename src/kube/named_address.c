/* SPDX-License-Identifier: Apache-2.0
 *
 * See named_address.h. GIO verifies the host name of the GNetworkAddress that it
 * connects to: this one says one name and resolves another.
 */
#include "kube/named_address.h"

typedef struct {
    GNetworkAddress parent;
    GSocketConnectable *real;
} KubeNamedAddress;
typedef struct {
    GNetworkAddressClass parent;
} KubeNamedAddressClass;

GType kube_named_address_get_type(void);
static void connectable_init(GSocketConnectableIface *interface, void *data);
G_DEFINE_TYPE_WITH_CODE(KubeNamedAddress, kube_named_address, G_TYPE_NETWORK_ADDRESS,
                        G_IMPLEMENT_INTERFACE(G_TYPE_SOCKET_CONNECTABLE, connectable_init))

#define NAMED(object) (G_TYPE_CHECK_INSTANCE_CAST((object), kube_named_address_get_type(), KubeNamedAddress))

static GSocketAddressEnumerator *enumerate(GSocketConnectable *connectable)
{
    return g_socket_connectable_enumerate(NAMED(connectable)->real);
}

static GSocketAddressEnumerator *proxy_enumerate(GSocketConnectable *connectable)
{
    return g_socket_connectable_proxy_enumerate(NAMED(connectable)->real);
}

static char *to_string(GSocketConnectable *connectable)
{
    return g_socket_connectable_to_string(NAMED(connectable)->real);
}

static void connectable_init(GSocketConnectableIface *interface, void *data)
{
    (void)data;
    interface->enumerate = enumerate;
    interface->proxy_enumerate = proxy_enumerate;
    interface->to_string = to_string;
}

static void finalize(GObject *object)
{
    g_clear_object(&NAMED(object)->real);
    G_OBJECT_CLASS(kube_named_address_parent_class)->finalize(object);
}

static void kube_named_address_class_init(KubeNamedAddressClass *class)
{
    G_OBJECT_CLASS(class)->finalize = finalize;
}

static void kube_named_address_init(KubeNamedAddress *address)
{
    (void)address;
}

GSocketConnectable *kube_named_address_new(const char *host, guint16 port, const char *name)
{
    KubeNamedAddress *address =
        g_object_new(kube_named_address_get_type(), "hostname", name, "port", (guint)port, NULL);
    address->real = g_network_address_new(host, port);
    return G_SOCKET_CONNECTABLE(address);
}
