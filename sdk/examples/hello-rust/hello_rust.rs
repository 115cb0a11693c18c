//! hello in Rust: the same backend as ../hello, with rustc and the standard library alone.
//!
//! Verbs are safe functions that return a Result; `guarded` is the one place where C pointers become
//! references, results become codes, and a panic becomes an error instead of crossing into C.
mod magnum;

use magnum::*;
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;

const KIND: &str = "hello-cluster";

/// How a verb fails. `Host`: a service did, and has filled the error already.
enum Failure {
    Host(i32),
    Own { code: i32, flags: u32, reason: &'static str, message: &'static str },
}
use Failure::{Host, Own};
type Answer<T> = Result<T, Failure>;

struct Hello {
    host: &'static mag_host,
    ledger: Option<&'static mag_host_ledger>,
    endpoint: Option<String>,
}

/// One call: its operation and where a service puts its error.
struct Call<'a> {
    op: &'a mag_op,
    err: *mut mag_error,
}

fn c(text: &str) -> Answer<CString> {
    CString::new(text).map_err(|_| Own {
        code: MAG_E_INVALID,
        flags: 0,
        reason: "BadText",
        message: "a text holds a NUL",
    })
}

fn done(code: i32) -> Answer<()> {
    if code == MAG_OK { Ok(()) } else { Err(Host(code)) }
}

fn bytes(text: &str) -> mag_bytes {
    mag_bytes { data: text.as_ptr() as *const c_void, len: text.len() as u64 }
}

const NOTHING: mag_bytes = mag_bytes { data: ptr::null(), len: 0 };

fn refusal(status: u32) -> Failure {
    let (code, flags, reason, message) = match status {
        401 | 403 => (MAG_E_AUTH, MAG_ERR_OPERATOR, "NotAllowed", "the backend refuses us"),
        409 => (MAG_E_EXISTS, 0, "ExistsDifferently", "a cluster of this name has another spec"),
        429 | 500..=599 => (MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "BackendDown", "the backend fails"),
        _ => (MAG_E_INVALID, MAG_ERR_USER, "SpecRejected", "the backend rejects the spec"),
    };
    Own { code, flags, reason, message }
}

impl Hello {
    fn new(host: &'static mag_host) -> Hello {
        // the host's texts live until destroy; a service may be missing or shorter than we know it
        let endpoint = unsafe {
            let value = (host.config)(host.ctx, b"endpoint\0".as_ptr() as *const c_char);
            if value.is_null() { None } else { Some(CStr::from_ptr(value).to_string_lossy().into_owned()) }
        };
        let has_services = host.struct_size as usize >= std::mem::size_of::<mag_host>();
        let ledger = match host.get_service {
            Some(get) if has_services => unsafe {
                (get(host.ctx, MAG_HOST_LEDGER.as_ptr() as *const c_char) as *const mag_host_ledger).as_ref()
            },
            _ => None,
        };
        Hello { host, ledger, endpoint }
    }

    fn name(&self, call: &Call) -> String {
        format!("mag-{}", unsafe { CStr::from_ptr(call.op.cluster_id) }.to_string_lossy())
    }

    fn need_endpoint(&self) -> Answer<&str> {
        self.endpoint.as_deref().ok_or(Own {
            code: MAG_E_UNAVAILABLE,
            flags: MAG_ERR_OPERATOR,
            reason: "NotConfigured",
            message: "no backend is configured",
        })
    }

    fn http(&self, call: &Call, method: &str, body: mag_bytes) -> Answer<u32> {
        let url = c(&format!("{}/v1/clusters/{}", self.need_endpoint()?, self.name(call)))?;
        let (method, service) = (c(method)?, c("url")?);
        let headers = c("Content-Type: application/json\n")?;
        let request = mag_http_req {
            struct_size: std::mem::size_of::<mag_http_req>() as u32,
            timeout_ms: 10000,
            method: method.as_ptr(),
            service: service.as_ptr(),
            path: url.as_ptr(),
            headers: if body.len > 0 { headers.as_ptr() } else { ptr::null() },
            body,
        };
        let mut response = mag_http_resp {
            struct_size: std::mem::size_of::<mag_http_resp>() as u32,
            status: 0,
            body: NOTHING,
            headers: ptr::null(),
        };
        done(unsafe { (self.host.http)(self.host.ctx, call.op, &request, &mut response, call.err) })?;
        Ok(response.status)
    }

    fn output(&self, call: &Call, key: &str, json: &str) -> Answer<()> {
        let key = c(key)?;
        done(unsafe { (self.host.output)(self.host.ctx, call.op, key.as_ptr(), bytes(json), call.err) })
    }

    /// create, update and scale are one thing here: the backend shall have this spec.
    fn converge(&self, call: &Call, out: &mut mag_step) -> Answer<i32> {
        let (kind, name) = (c(KIND)?, c(&self.name(call))?);
        if let Some(l) = self.ledger {
            // before it is made: a crash after the PUT must not leave it unknown
            done(unsafe { (l.declare)(self.host.ctx, call.op, kind.as_ptr(), name.as_ptr(), NOTHING, call.err) })?;
        }
        match self.http(call, "PUT", call.op.spec)? {
            200 | 201 => (),
            202 => {
                out.wait_ms = 2000;
                out.percent = 50;
                return Ok(MAG_AGAIN);
            }
            status => return Err(refusal(status)),
        }
        if let Some(l) = self.ledger {
            done(unsafe { (l.confirm)(self.host.ctx, call.op, kind.as_ptr(), name.as_ptr(), ptr::null(), call.err) })?;
        }
        let address = format!("\"https://{}.hello.invalid:6443\"", self.name(call));
        self.output(call, "api_address", &address)?;
        Ok(MAG_OK)
    }

    fn remove(&self, call: &Call, out: &mut mag_step) -> Answer<i32> {
        match self.http(call, "DELETE", NOTHING)? {
            200 | 204 | 404 => (), // 404: gone already is success
            202 => {
                out.wait_ms = 2000;
                return Ok(MAG_AGAIN);
            }
            status => return Err(refusal(status)),
        }
        let (kind, name) = (c(KIND)?, c(&self.name(call))?);
        if let Some(l) = self.ledger {
            done(unsafe { (l.drop)(self.host.ctx, call.op, kind.as_ptr(), name.as_ptr(), call.err) })?;
        }
        Ok(MAG_OK)
    }

    fn health(&self, call: &Call) -> Answer<i32> {
        let status = match self.http(call, "GET", NOTHING) {
            Ok(200) => "\"HEALTHY\"",
            Ok(status) if status < 500 => "\"UNHEALTHY\"",
            _ => "\"UNKNOWN\"", // unreachable is unknown, never unhealthy
        };
        self.output(call, "health_status", status)?;
        Ok(MAG_OK)
    }
}

// ---- what the host calls ----

fn copy(to: &mut [u8], from: &str) {
    let n = from.len().min(to.len() - 1);
    to[..n].copy_from_slice(&from.as_bytes()[..n]);
    to[n] = 0;
}

unsafe fn report(err: *mut mag_error, failure: Failure) -> i32 {
    match failure {
        Host(code) => code,
        Own { code, flags, reason, message } => {
            if let Some(e) = err.as_mut() {
                e.flags = flags;
                copy(&mut e.reason, reason);
                copy(&mut e.message, &format!("hello-rust: {}", message));
            }
            code
        }
    }
}

unsafe fn guarded(err: *mut mag_error, verb: impl FnOnce() -> Answer<i32>) -> i32 {
    let panicked = Own { code: MAG_E_INTERNAL, flags: 0, reason: "Panic", message: "a bug in the driver" };
    match catch_unwind(AssertUnwindSafe(verb)) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => report(err, failure),
        Err(_) => report(err, panicked),
    }
}

unsafe extern "C" fn converge(this: *mut c_void, op: *const mag_op, out: *mut mag_step, err: *mut mag_error) -> i32 {
    let call = Call { op: &*op, err };
    guarded(err, || (*(this as *const Hello)).converge(&call, &mut *out))
}

unsafe extern "C" fn remove(this: *mut c_void, op: *const mag_op, out: *mut mag_step, err: *mut mag_error) -> i32 {
    let call = Call { op: &*op, err };
    guarded(err, || (*(this as *const Hello)).remove(&call, &mut *out))
}

unsafe extern "C" fn health(this: *mut c_void, op: *const mag_op, _: *mut mag_step, err: *mut mag_error) -> i32 {
    let call = Call { op: &*op, err };
    guarded(err, || (*(this as *const Hello)).health(&call))
}

unsafe extern "C" fn validate(_: *mut c_void, op: *const mag_op, err: *mut mag_error) -> i32 {
    let empty = Own { code: MAG_E_INVALID, flags: MAG_ERR_USER, reason: "EmptySpec", message: "the spec is empty" };
    guarded(err, || if (*op).spec.len > 0 { Ok(MAG_OK) } else { Err(empty) })
}

unsafe extern "C" fn create(host: *const mag_host, this: *mut *mut c_void, err: *mut mag_error) -> i32 {
    guarded(err, || {
        *this = Box::into_raw(Box::new(Hello::new(&*host))) as *mut c_void;
        Ok(MAG_OK)
    })
}

unsafe extern "C" fn destroy(this: *mut c_void) {
    drop(Box::from_raw(this as *mut Hello));
}

unsafe extern "C" fn probe(this: *mut c_void, err: *mut mag_error) -> i32 {
    guarded(err, || (*(this as *const Hello)).need_endpoint().map(|_| MAG_OK))
}

static LIFECYCLE: mag_lifecycle = mag_lifecycle {
    struct_size: std::mem::size_of::<mag_lifecycle>() as u32,
    reserved0: 0,
    validate: Some(validate),
    create: Some(converge),
    update: Some(converge),
    remove: Some(remove),
    scale: Some(converge),
    health: Some(health),
};

unsafe extern "C" fn get_interface(_: *mut c_void, id: *const c_char) -> *const c_void {
    if CStr::from_ptr(id).to_bytes_with_nul() == MAG_IFACE_LIFECYCLE {
        return &LIFECYCLE as *const mag_lifecycle as *const c_void;
    }
    ptr::null()
}

static PLUGIN: mag_plugin = mag_plugin {
    magic: MAG_PLUGIN_MAGIC,
    struct_size: std::mem::size_of::<mag_plugin>() as u32,
    abi_major: MAG_ABI_MAJOR,
    abi_minor: MAG_ABI_MINOR,
    id: b"com.example.hello-rust\0".as_ptr() as *const c_char,
    version: b"1.0.0\0".as_ptr() as *const c_char,
    vendor: b"Example\0".as_ptr() as *const c_char,
    create,
    destroy,
    probe: Some(probe),
    get_interface,
};

/// The one exported symbol.
#[no_mangle]
pub extern "C" fn mag_plugin_entry(host_major: u32, _host_minor: u32) -> *const mag_plugin {
    if host_major == MAG_ABI_MAJOR { &PLUGIN } else { ptr::null() }
}
