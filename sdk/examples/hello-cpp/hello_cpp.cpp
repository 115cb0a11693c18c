// hello in C++17: the same backend as ../hello, with nothing but the SDK's C headers and the
// standard library.
//
// Exceptions never leave a verb: each goes through guarded(), which turns them into a mag_error.
// The standard library is linked statically and hidden by the version script, so the plugin needs
// no certain libstdc++ where it runs.
#include <magnum/lifecycle.h>

#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>

namespace
{

constexpr char kind[] = "hello-cluster";

// A failure on its way out of a verb.
struct Failure {
    int32_t code;
    uint32_t flags;
    std::string reason, message;
};

template <std::size_t N> void copy(char (&to)[N], const std::string &from)
{
    const std::size_t n = from.copy(to, N - 1);
    to[n] = '\0';
}

int32_t report(mag_error *e, const Failure &f)
{
    e->flags = f.flags;
    copy(e->reason, f.reason);
    copy(e->message, "hello-cpp: " + f.message);
    return f.code;
}

template <typename F> int32_t guarded(mag_error *e, F verb)
{
    try {
        return verb();
    } catch (const Failure &f) {
        return report(e, f);
    } catch (const std::bad_alloc &) {
        return report(e, {MAG_E_INTERNAL, MAG_ERR_RETRYABLE, "OutOfMemory", "out of memory"});
    } catch (const std::exception &x) {
        return report(e, {MAG_E_INTERNAL, 0, "Exception", x.what()});
    }
}

mag_bytes bytes_of(const std::string &s)
{
    mag_bytes b = {};
    b.data = s.data();
    b.len = s.size();
    return b;
}

class Hello
{
  public:
    explicit Hello(const mag_host *host) : host_(host)
    {
        if (const char *endpoint = host->config(host->ctx, "endpoint"))
            endpoint_ = endpoint;
        if (MAG_HAS(mag_host, host, get_service) && host->get_service)
            ledger_ =
                static_cast<const mag_host_ledger *>(host->get_service(host->ctx, MAG_HOST_LEDGER));
    }

    void need_endpoint() const
    {
        if (endpoint_.empty())
            throw Failure{MAG_E_UNAVAILABLE, MAG_ERR_OPERATOR, "NotConfigured",
                          "no backend is configured"};
    }

    int32_t converge(const mag_op *op, mag_step *out, mag_error *e) const
    {
        const std::string name = name_of(op);
        int32_t rc = ledger_ ? ledger_->declare(host_->ctx, op, kind, name.c_str(), {}, e) : MAG_OK;
        uint32_t status = 0;
        if (rc == MAG_OK)
            rc = call(op, "PUT", op->spec, &status, e);
        if (rc != MAG_OK)
            return rc;
        if (status == 202) {
            out->wait_ms = 2000;
            out->percent = 50;
            return MAG_AGAIN;
        }
        if (status != 200 && status != 201)
            throw refusal(status);
        if (ledger_)
            rc = ledger_->confirm(host_->ctx, op, kind, name.c_str(), nullptr, e);
        const std::string address = "\"https://" + name + ".hello.invalid:6443\"";
        return rc == MAG_OK ? host_->output(host_->ctx, op, "api_address", bytes_of(address), e)
                            : rc;
    }

    int32_t remove(const mag_op *op, mag_step *out, mag_error *e) const
    {
        uint32_t status = 0;
        const int32_t rc = call(op, "DELETE", {}, &status, e);
        if (rc != MAG_OK)
            return rc;
        if (status == 202) {
            out->wait_ms = 2000;
            return MAG_AGAIN;
        }
        if (status != 404 && status != 204 && status != 200) // 404: gone already is success
            throw refusal(status);
        return ledger_ ? ledger_->drop(host_->ctx, op, kind, name_of(op).c_str(), e) : MAG_OK;
    }

    int32_t health(const mag_op *op, mag_error *e) const
    {
        uint32_t status = 0;
        std::string said = "\"UNKNOWN\""; // unreachable is unknown, never unhealthy
        if (call(op, "GET", {}, &status, e) == MAG_OK && status < 500)
            said = status == 200 ? "\"HEALTHY\"" : "\"UNHEALTHY\"";
        return host_->output(host_->ctx, op, "health_status", bytes_of(said), e);
    }

  private:
    static std::string name_of(const mag_op *op)
    {
        return std::string("mag-") + op->cluster_id;
    }

    static Failure refusal(uint32_t status)
    {
        if (status == 401 || status == 403)
            return {MAG_E_AUTH, MAG_ERR_OPERATOR, "NotAllowed", "the backend refuses us"};
        if (status == 409)
            return {MAG_E_EXISTS, 0, "ExistsDifferently",
                    "a cluster of this name has another spec"};
        if (status == 429 || status >= 500)
            return {MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BackendDown", "the backend fails"};
        return {MAG_E_INVALID, MAG_ERR_USER, "SpecRejected", "the backend rejects the spec"};
    }

    int32_t call(const mag_op *op, const char *method, mag_bytes body, uint32_t *status,
                 mag_error *e) const
    {
        need_endpoint();
        const std::string url = endpoint_ + "/v1/clusters/" + name_of(op);
        mag_http_req rq = {};
        rq.struct_size = sizeof rq;
        rq.timeout_ms = 10000;
        rq.method = method;
        rq.service = "url";
        rq.path = url.c_str();
        rq.headers = body.len ? "Content-Type: application/json\n" : nullptr;
        rq.body = body;
        mag_http_resp rp = {};
        rp.struct_size = sizeof rp;
        const int32_t rc = host_->http(host_->ctx, op, &rq, &rp, e);
        *status = rp.status;
        return rc;
    }

    const mag_host *host_;
    const mag_host_ledger *ledger_ = nullptr;
    std::string endpoint_;
};

const Hello &instance(void *self)
{
    return *static_cast<const Hello *>(self);
}

// ---- what the host calls: C functions, no exception passes them ----

int32_t converge(void *self, const mag_op *op, mag_step *out, mag_error *e)
{
    return guarded(e, [&] { return instance(self).converge(op, out, e); });
}

int32_t remove_cluster(void *self, const mag_op *op, mag_step *out, mag_error *e)
{
    return guarded(e, [&] { return instance(self).remove(op, out, e); });
}

int32_t health(void *self, const mag_op *op, mag_step *, mag_error *e)
{
    return guarded(e, [&] { return instance(self).health(op, e); });
}

int32_t validate(void *, const mag_op *op, mag_error *e)
{
    return guarded(e, [&]() -> int32_t {
        if (op->spec.len == 0)
            throw Failure{MAG_E_INVALID, MAG_ERR_USER, "EmptySpec", "the spec is empty"};
        return MAG_OK;
    });
}

int32_t create(const mag_host *host, void **self, mag_error *e)
{
    return guarded(e, [&]() -> int32_t {
        *self = std::make_unique<Hello>(host).release();
        return MAG_OK;
    });
}

void destroy(void *self)
{
    delete static_cast<Hello *>(self);
}

int32_t probe(void *self, mag_error *e)
{
    return guarded(e, [&]() -> int32_t {
        instance(self).need_endpoint();
        return MAG_OK;
    });
}

constexpr mag_lifecycle lifecycle = {sizeof(mag_lifecycle), 0,        validate, converge, converge,
                                     remove_cluster,        converge, health};

const void *get_interface(void *, const char *id)
{
    return std::strcmp(id, MAG_IFACE_LIFECYCLE) == 0 ? &lifecycle : nullptr;
}

constexpr mag_plugin plugin = {
    MAG_PLUGIN_MAGIC, sizeof(mag_plugin), MAG_ABI_MAJOR, MAG_ABI_MINOR, "com.example.hello-cpp",
    "1.0.0",          "Example",          create,        destroy,       probe,
    get_interface};

} // namespace

extern "C" const mag_plugin *mag_plugin_entry(uint32_t host_major, uint32_t)
{
    return host_major == MAG_ABI_MAJOR ? &plugin : nullptr;
}
