//! The part of Magnum's plugin ABI that this example uses, written by hand after the C headers in
//! include/magnum. Names and order are theirs. `layout()` tells where everything lies, and the test
//! tests/unit/abi_rust.py compares that with the frozen layout (layout_v1.c).
#![allow(non_camel_case_types, dead_code)]

use std::os::raw::{c_char, c_void};

/// A struct as C lays it out, that can tell its layout.
macro_rules! c_struct {
    ($($(#[$meta:meta])* struct $name:ident { $($field:ident: $type:ty,)* })*) => {
        $($(#[$meta])* #[repr(C)] pub struct $name { $(pub $field: $type,)* })*

        /// (struct, member, offset, size) of every member.
        pub fn layout() -> Vec<(&'static str, &'static str, usize, usize)> {
            let mut all = Vec::new();
            $({
                let whole = std::mem::MaybeUninit::<$name>::uninit();
                let start = whole.as_ptr();
                $(
                    // only addresses are taken: nothing is read
                    let at = unsafe { std::ptr::addr_of!((*start).$field) } as usize;
                    let size = std::mem::size_of::<$type>();
                    all.push((stringify!($name), stringify!($field), at - start as usize, size));
                )*
            })*
            all
        }
    };
}

pub type step_fn = unsafe extern "C" fn(*mut c_void, *const mag_op, *mut mag_step, *mut mag_error) -> i32;

c_struct! {
    struct mag_error {
        struct_size: u32,
        flags: u32,
        retry_after_ms: u32,
        reserved0: u32,
        reason: [u8; 64],
        message: [u8; 448],
        remedy: [u8; 256],
    }
    #[derive(Clone, Copy)]
    struct mag_bytes {
        data: *const c_void,
        len: u64,
    }
    struct mag_op {
        struct_size: u32,
        kind: u32,
        flags: u32,
        attempt: u32,
        op_id: *const c_char,
        cluster_id: *const c_char,
        project_id: *const c_char,
        nodegroup_id: *const c_char,
        request_id: *const c_char,
        generation: u64,
        spec: mag_bytes,
        prior: mag_bytes,
        state: mag_bytes,
        deadline_unix_ms: i64,
        budget_ms: u32,
        reserved0: u32,
        host_op: *mut c_void,
    }
    struct mag_step {
        struct_size: u32,
        wait_ms: u32,
        percent: u32,
        reserved0: u32,
        message: [u8; 192],
    }
    struct mag_http_req {
        struct_size: u32,
        timeout_ms: u32,
        method: *const c_char,
        service: *const c_char,
        path: *const c_char,
        headers: *const c_char,
        body: mag_bytes,
    }
    struct mag_http_resp {
        struct_size: u32,
        status: u32,
        body: mag_bytes,
        headers: *const c_char,
    }
    struct mag_host {
        struct_size: u32,
        abi_major: u32,
        abi_minor: u32,
        reserved0: u32,
        ctx: *mut c_void,
        log: unsafe extern "C" fn(*mut c_void, u32, *const c_char),
        config: unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_char,
        http: unsafe extern "C" fn(*mut c_void, *const mag_op, *const mag_http_req, *mut mag_http_resp, *mut mag_error) -> i32,
        checkpoint: unsafe extern "C" fn(*mut c_void, *const mag_op, mag_bytes, *mut mag_error) -> i32,
        output: unsafe extern "C" fn(*mut c_void, *const mag_op, *const c_char, mag_bytes, *mut mag_error) -> i32,
        cancelled: unsafe extern "C" fn(*mut c_void, *const mag_op) -> i32,
        secret_read: unsafe extern "C" fn(*mut c_void, *const mag_op, *const c_char, *mut c_void, u64, *mut u64, *mut mag_error) -> i32,
        get_service: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void>,
    }
    struct mag_host_ledger {
        struct_size: u32,
        reserved0: u32,
        declare: unsafe extern "C" fn(*mut c_void, *const mag_op, *const c_char, *const c_char, mag_bytes, *mut mag_error) -> i32,
        confirm: unsafe extern "C" fn(*mut c_void, *const mag_op, *const c_char, *const c_char, *const c_char, *mut mag_error) -> i32,
        drop: unsafe extern "C" fn(*mut c_void, *const mag_op, *const c_char, *const c_char, *mut mag_error) -> i32,
        list: unsafe extern "C" fn(*mut c_void, *const mag_op, *const c_char, *mut mag_bytes, *mut mag_error) -> i32,
    }
    struct mag_plugin {
        magic: u32,
        struct_size: u32,
        abi_major: u32,
        abi_minor: u32,
        id: *const c_char,
        version: *const c_char,
        vendor: *const c_char,
        create: unsafe extern "C" fn(*const mag_host, *mut *mut c_void, *mut mag_error) -> i32,
        destroy: unsafe extern "C" fn(*mut c_void),
        probe: Option<unsafe extern "C" fn(*mut c_void, *mut mag_error) -> i32>,
        get_interface: unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void,
    }
    struct mag_lifecycle {
        struct_size: u32,
        reserved0: u32,
        validate: Option<unsafe extern "C" fn(*mut c_void, *const mag_op, *mut mag_error) -> i32>,
        create: Option<step_fn>,
        update: Option<step_fn>,
        remove: Option<step_fn>,
        scale: Option<step_fn>,
        health: Option<step_fn>,
    }
}

/// Static data that points to static data only: as good in every thread.
unsafe impl Sync for mag_plugin {}
unsafe impl Sync for mag_lifecycle {}

pub const MAG_ABI_MAJOR: u32 = 1;
pub const MAG_ABI_MINOR: u32 = 0;
pub const MAG_PLUGIN_MAGIC: u32 = 0x4d41474e;
pub const MAG_IFACE_LIFECYCLE: &[u8] = b"mag.coe.lifecycle/1\0";
pub const MAG_HOST_LEDGER: &[u8] = b"mag.host.ledger/1\0";

pub const MAG_OK: i32 = 0;
pub const MAG_AGAIN: i32 = 1;
pub const MAG_E_INVALID: i32 = -1;
pub const MAG_E_EXISTS: i32 = -3;
pub const MAG_E_AUTH: i32 = -6;
pub const MAG_E_UNAVAILABLE: i32 = -8;
pub const MAG_E_INTERNAL: i32 = -13;
pub const MAG_ERR_RETRYABLE: u32 = 1 << 0;
pub const MAG_ERR_USER: u32 = 1 << 1;
pub const MAG_ERR_OPERATOR: u32 = 1 << 2;
