# Every outside library, found once. tools/deps installs them by Debian package name.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
foreach(dep IN ITEMS
    "czmq;libczmq>=4.2" "zmq;libzmq>=4.3" "mhd;libmicrohttpd>=0.9.75" "jansson;jansson>=2.13"
    "pq;libpq>=13" "yaml;yaml-0.1>=0.2" "curl;libcurl>=7.80" "openssl;openssl>=3.0" "uuid;uuid"
    "smartcols;smartcols>=2.36" "crypt;libxcrypt" "cunit;cunit" "systemd;libsystemd"
    "z;zlib" "seccomp;libseccomp>=2.5")
  list(GET dep 0 name)
  list(GET dep 1 spec)
  # Twice: CMake reads the flags from its cache differently than from pkg-config, and the second
  # configuration of a tree would rebuild most of it.
  pkg_check_modules(${name} REQUIRED QUIET ${spec})
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET GLOBAL ${spec})
endforeach()
