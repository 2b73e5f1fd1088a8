/* SPDX-License-Identifier: Apache-2.0 */
/* A program of somebody else's: the header as installed, and libvgpu.so. */
#include <stdio.h>

#include <vgpu_db.h>

int main(int argc, char **argv)
{
    struct vgpu_vm vm;
    struct vgpu_db *db;
    uint32_t next;

    if (argc != 2 || vgpu_db_init(&db, argv[1], VGPU_DB_CREATE) || vgpu_db_init_schema(db))
        goto failed;
    vgpu_vm_defaults(&vm);
    if (!vgpu_parse_uuid("6F1C2A5E-0D47-4C1B-9A77-2F2F1B1F7C01", vm.vm_uuid) ||
        vgpu_register_vm(db, &vm) || vgpu_get_next_vm_id(db, &next) || next != 2)
        goto failed;
    printf("VM %s has vm_id %u, pool %c, priority %s\n", vm.vm_uuid, vm.vm_id, vm.pool_id,
           vgpu_priority_name(vm.priority));
    if (vgpu_remove_vm(db, vm.vm_uuid))
        goto failed;
    vgpu_db_close(db);
    return 0;
failed:
    fprintf(stderr, "%s\n", vgpu_db_error());
    return 1;
}
